"""The files of former lives: what the checkpoint said, by stream, so that each file goes on where it was."""

from collections.abc import Callable
from typing import Protocol

from logship.checkpoint import Entry


class Identified(Protocol):
    """What a source has to have to be found again; see ``LogFile``."""

    inode: int
    device: int
    fingerprint: str
    generation: int
    source_id: str
    size: int
    positions: dict[str, int]
    acked: dict[str, int]


class KnownFiles:
    """Entries of the checkpoint that no open file has claimed yet, and all that have been.

    ``urgent`` is set when a source got an id that cannot be made again without the checkpoint;
    then it must be saved before anything of the source is shipped.
    """

    def __init__(self, entries: list[Entry]) -> None:
        self._unclaimed: dict[str, list[Entry]] = {}
        for entry in entries:
            self._unclaimed.setdefault(entry.key, []).append(entry)
        self._claimed: dict[str, tuple[str, Identified]] = {}
        self.urgent = False

    def identify(
        self, key: str, file: Identified, make: Callable[[str, int, str, int], str]
    ) -> None:
        """Give a file its source id and positions; ``file.generation`` over 0 asks for a new id."""
        if not file.generation:
            for entry in self._unclaimed.get(key, []):
                same = (entry.inode, entry.fingerprint) == (file.inode, file.fingerprint)
                if same and max(entry.positions.values(), default=0) <= file.size:
                    self._unclaimed[key].remove(entry)
                    file.source_id = entry.source_id
                    file.positions = dict(entry.positions)
                    file.acked = dict(entry.positions)
                    self._claimed[file.source_id] = (key, file)
                    return
        unclaimed = {entry.source_id for entry in self._unclaimed.get(key, [])}
        source_id = make(key, file.inode, file.fingerprint, file.generation)
        while source_id in self._claimed or source_id in unclaimed:
            file.generation += 1
            source_id = make(key, file.inode, file.fingerprint, file.generation)
        if file.generation:
            self.urgent = True
        file.source_id = source_id
        self._claimed[source_id] = (key, file)

    def forget(self, source_id: str) -> None:
        """Drop a file that is gone for good."""
        self._claimed.pop(source_id, None)

    def entries(self, now_s: int, keep_seconds: int) -> list[Entry]:
        """Return what the checkpoint shall say now."""
        current = [
            Entry(
                key, source_id, file.inode, file.device, file.fingerprint, dict(file.acked), now_s
            )
            for source_id, (key, file) in list(self._claimed.items())
        ]
        for key, entries in list(self._unclaimed.items()):
            kept = [e for e in entries if now_s - e.seen_s < keep_seconds]
            if kept:
                self._unclaimed[key] = kept
                current += kept
            else:
                del self._unclaimed[key]
        return current

    def release(self, key: str, now_s: int) -> None:
        """Keep what is known of a stream whose task has gone, in case it comes back."""
        for source_id, (of, file) in list(self._claimed.items()):
            if of == key:
                del self._claimed[source_id]
                entry = Entry(key, source_id, file.inode, file.device, file.fingerprint, dict(file.acked), now_s)  # fmt: skip
                self._unclaimed.setdefault(key, []).append(entry)
