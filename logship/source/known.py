"""The files of former lives: what the checkpoint said, by stream, so that each file goes on where it was.

A file is the one that an entry speaks of if it has its inode and its first line, and before the
place that was reached the bytes that were there then. One that has the inode but not the bytes was
truncated, or is another file with a number used before: it gets the next *generation* of ids.
"""

from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from logship.checkpoint import Entry

ENDED_MAX: Final = 200  # entries of files that are gone, by stream
MakeID = Callable[[str, "Identified"], str]


class Identified(Protocol):
    """What a source has to have to be found again; see ``LogFile``."""

    inode: int
    device: int
    fingerprint: str
    generation: int
    source_id: str
    positions: dict[str, int]
    acked: dict[str, int]

    def holds(self, entry: Entry) -> bool:
        """Tell whether it has what was read when the entry was written."""
        ...

    def mark(self) -> tuple[int, str]:
        """Return a place that was seen, and the hash of the bytes before it."""
        ...


class Changes(Struct, frozen=True):
    """What the checkpoint does not say yet."""

    entries: list[Entry]
    gone: list[str]


class KnownFiles:
    """Entries of the checkpoint that no open file has claimed yet, and all that have been.

    It is ``urgent`` when a source is new: the checkpoint must be saved before anything of it is
    shipped, so that its id is found again whatever becomes of the file, and by no other.
    """

    def __init__(self, entries: list[Entry]) -> None:
        self._unclaimed: dict[str, list[Entry]] = {}
        self._generations: dict[
            tuple[str, int, str], int
        ] = {}  # highest by stream, inode, first line
        for entry in sorted(entries, key=lambda entry: -entry.generation):
            self._unclaimed.setdefault(entry.key, []).append(entry)
            self._note(entry.key, entry, entry.generation)
        self._claimed: dict[str, tuple[str, Identified]] = {}
        self._touched: set[str] = set()
        self._gone: set[str] = set()
        self._new: set[str] = set()

    @property
    def urgent(self) -> bool:
        """Whether the checkpoint must be saved first."""
        return bool(self._new)

    def is_new(self, source_id: str) -> bool:
        """Tell whether the checkpoint does not know a source yet, so that nothing of it may leave."""
        return source_id in self._new

    def waits(self, key: str) -> bool:
        """Tell whether a stream has such a source."""
        return any(self._claimed[new][0] == key for new in self._new if new in self._claimed)

    def _note(self, key: str, file: "Identified | Entry", generation: int) -> None:
        kind = key, file.inode, file.fingerprint
        self._generations[kind] = max(self._generations.get(kind, -1), generation)

    def _evict(self, entry: Entry) -> None:
        self._gone.add(entry.source_id)
        self._new.discard(entry.source_id)
        self._touched.discard(entry.source_id)
        self._generations.pop((entry.key, entry.inode, entry.fingerprint), None)

    # ------------------------------------------------------------ claiming

    def claim(self, key: str, file: Identified) -> bool:
        """Let a file go on that is known by its inode and its content; tell whether it is."""
        for entry in self._unclaimed.get(key, []):
            same = (entry.inode, entry.fingerprint) == (file.inode, file.fingerprint)
            if same and not entry.ended and file.holds(entry):
                self._take(key, entry, file)
                return True
        return False

    def claim_copy(self, key: str, file: Identified) -> bool:
        """Let a file go on that has another inode than what it is a copy of (copied, compressed)."""
        for entry in self._unclaimed.get(key, []):
            if entry.fingerprint == file.fingerprint and entry.mark_at and file.holds(entry):
                self._take(key, entry, file)
                return True
        return False

    def _take(self, key: str, entry: Entry, file: Identified) -> None:
        self._unclaimed[key].remove(entry)
        file.source_id = entry.source_id
        file.generation = entry.generation
        file.positions = dict(entry.positions)
        file.acked = dict(entry.positions)
        self._claimed[file.source_id] = (key, file)
        self._touched.add(file.source_id)

    def introduce(self, key: str, file: Identified, make: MakeID) -> None:
        """Give a file that nobody knows an id of its own."""
        known = self._generations.get((key, file.inode, file.fingerprint), -1)
        file.generation = max(file.generation, known + 1)
        source_id = file.source_id = make(key, file)
        taken = {entry.source_id for entry in self._unclaimed.get(key, [])}
        while source_id in self._claimed or source_id in taken:
            file.generation += 1
            source_id = file.source_id = make(key, file)
        self._note(key, file, file.generation)
        self._claimed[source_id] = (key, file)
        self._touched.add(source_id)
        self._new.add(source_id)

    def identify(self, key: str, file: Identified, make: MakeID) -> None:
        """Give a source its id and positions: those it had, else new ones."""
        if not self.claim(key, file):
            self.introduce(key, file, make)

    def replace(self, source_id: str, file: Identified) -> None:
        """Let a copy stand for what it is a copy of."""
        key, _ = self._claimed[source_id]
        self._claimed[source_id] = (key, file)
        self._touched.add(source_id)
        self._new.add(source_id)

    def remembers(self, key: str) -> list[Entry]:
        """Return what is known of a stream's files that are not open."""
        return self._unclaimed.get(key, [])

    # ------------------------------------------------------------ letting go

    def forget(self, source_id: str, now_s: int) -> None:
        """Let a file go that is gone, delivered or lost; a copy of it may still turn up."""
        claimed = self._claimed.pop(source_id, None)
        if claimed is None:
            return
        key, file = claimed
        entries = self._unclaimed.setdefault(key, [])
        entry = _entry(key, source_id, file, now_s)
        entry.ended = True
        entries.append(entry)
        self._touched.add(source_id)
        ended = [entry for entry in entries if entry.ended]
        if len(ended) > ENDED_MAX:
            oldest = min(ended, key=lambda entry: entry.seen_s)
            entries.remove(oldest)
            self._evict(oldest)

    def release(self, key: str, now_s: int) -> None:
        """Keep what is known of a stream whose task has gone, in case it comes back."""
        for source_id, (of, file) in list(self._claimed.items()):
            if of == key:
                del self._claimed[source_id]
                self._unclaimed.setdefault(key, []).append(_entry(key, source_id, file, now_s))
                self._touched.add(source_id)

    # ------------------------------------------------------------ saving

    def touch(self, source_id: str, *, young: bool = False) -> None:
        """Take note that something of a source was read: its position will move.

        What was read of a ``young`` one must be in its mark before it is shipped: others may begin alike.
        """
        self._touched.add(source_id)
        if young:
            self._new.add(source_id)

    def changes(self, now_s: int) -> Changes:
        """Return what changed since the last ``saved``."""
        touched = self._touched.copy()
        waiting = {e.source_id: e for entries in self._unclaimed.values() for e in entries if e.source_id in touched} if touched - self._claimed.keys() else {}  # fmt: skip
        entries = []
        for source_id in touched:
            claimed = self._claimed.get(source_id)
            if claimed is not None:
                entries.append(_entry(claimed[0], source_id, claimed[1], now_s))
            elif source_id in waiting:
                entries.append(waiting[source_id])
        return Changes(entries, list(self._gone))

    def saved(self, changes: Changes) -> None:
        """Take note of what the checkpoint says now; what is still on its way comes again."""
        self._gone.difference_update(changes.gone)
        for entry in changes.entries:
            self._new.discard(entry.source_id)
            claimed = self._claimed.get(entry.source_id)
            if claimed is None or entry.positions == claimed[1].positions:
                self._touched.discard(entry.source_id)

    def entries(self, now_s: int, keep_seconds: int) -> list[Entry]:
        """Return everything that the checkpoint shall say now; old entries nobody asked for are dropped."""
        current = [_entry(key, source_id, file, now_s) for source_id, (key, file) in list(self._claimed.items())]  # fmt: skip
        for key, entries in list(self._unclaimed.items()):
            kept = [e for e in entries if now_s - e.seen_s < keep_seconds]
            if kept:
                self._unclaimed[key] = kept
                current += kept
            else:
                del self._unclaimed[key]
        return current


def _entry(key: str, source_id: str, file: Identified, now_s: int) -> Entry:
    at, mark = file.mark()
    return Entry(
        key, source_id, file.inode, file.device, file.fingerprint, dict(file.acked), now_s,
        file.generation, mark, at,
    )  # fmt: skip
