"""All blocks of a store: opened at the start, added, merged, dropped when they are too old or too many."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from model.labels import Matcher
from storage.interface import Refs
from storage.tsdb.block import Block, remove_block
from storage.tsdb.damage import DamagedError
from storage.tsdb.deletions import Deletion
from storage.tsdb.files import fsync_directory
from storage.tsdb.head import Head
from storage.tsdb.index import SeriesIndex
from storage.tsdb.readers import Readers
from storage.tsdb.settings import TsdbSettings

log = logging.getLogger(__name__)

FoundT = TypeVar("FoundT")

_UNLOAD_MS: Final = 10 * 60_000  # an index that nobody asked for so long is forgotten


class Blocks:
    """The blocks, oldest first. One thread changes them, any number reads ``all``.

    Args:
        directory: Where they are.
        settings: Sizes and times.
        damaged: Called with ``block_damaged`` for every block that is set aside, and with
            ``frame_damaged`` for every frame that is left out of answers.

    Attributes:
        readers: Who reads now; the files of blocks that went stay until they are done.
        all: Every block in the order they were written; replaced as a whole.
    """

    def __init__(
        self,
        directory: Path,
        settings: TsdbSettings,
        damaged: Callable[[str], None] = lambda operation: None,
    ) -> None:
        self.directory = directory
        self._settings = settings
        self._damaged = damaged
        self.all: tuple[Block, ...] = ()
        self.readers = Readers()
        self._tables = threading.RLock()
        self._asked_ms: dict[int, int] = {}
        self._clean: dict[int, tuple[Deletion, ...]] = {}
        self._leaving: dict[Block, None] = {}
        self._emptied: Block | None = None
        self._first_free = 1

    def open(self) -> None:
        """Find the blocks, and take away what was never finished, not quite deleted, or merged into others.

        Raises:
            StorageError: If a block is of an unknown version, or cannot be read for another reason
                than damage.
        """
        for path in self.directory.iterdir():
            if path.suffix in {".tmp", ".gone"}:
                remove_block(path)
        found: list[Block] = []
        for path in sorted(p for p in self.directory.iterdir() if p.name.isdigit()):
            try:
                block = Block(path)
                block.on_damage = self._damaged
                found.append(block)
            except DamagedError as error:
                self._set_aside(path, error)
        replaced = {number for block in found for number in block.meta.replaces}
        for block in found:
            if block.meta.sequence in replaced:
                remove_block(block.path)
        self.all = tuple(b for b in found if b.meta.sequence not in replaced)

    @property
    def next_sequence(self) -> int:
        """Number of the next block; none is given twice while a deletion or a reader may mean the first."""
        newest = self.all[-1].meta.sequence if self.all else 0
        return max(newest + 1, self._first_free)

    @property
    def on_disk(self) -> list[Block]:
        """All blocks, and those that went but are not deleted yet: somebody reads them.

        A kill brings these back, and until it does who reads them must know what was deleted.
        """
        return [*self.all, *self._leaving]

    @property
    def head_until_ms(self) -> int:
        """Scrapes before this time are in blocks."""
        return max((b.meta.head_until_ms for b in self.all), default=-(2**63))

    @property
    def late_from_segment(self) -> int:
        """Late samples in WAL segments before this one are in blocks."""
        return max((b.meta.late_from_segment for b in self.all), default=0)

    @property
    def late_until_ms(self) -> int:
        """Newest time of late samples in blocks; those that came from the future do not count."""
        late = [min(b.meta.maxt, b.meta.taken_ms) for b in self.all if b.meta.late]
        return max([*late, *(b.meta.late_until_ms for b in self.all)], default=-(2**63))

    @property
    def ahead(self) -> tuple[tuple[int, int], ...]:
        """Spans of late samples that came from the future: first and last time."""
        return tuple((b.meta.taken_ms + 1, b.meta.maxt) for b in self.all if b.meta.late_ahead)

    @property
    def size_bytes(self) -> int:
        """Size of all blocks."""
        return sum(b.size_bytes for b in self.all)

    def add(self, block: Block) -> None:
        """Let readers see a block."""
        block.on_damage = self._damaged
        self.all = (*self.all, block)

    def replace(self, old: Sequence[Block], new: Block) -> None:
        """Let readers see one block in place of those that it was made of, and delete these."""
        gone = set(old)
        new.on_damage = self._damaged
        self.all = (*(b for b in self.all if b not in gone), new)
        self._remove(old)

    def drop_emptied(self, blocks: Sequence[Block]) -> None:
        """Delete blocks of which nothing is left.

        The newest block stays as it is until there is a newer one: it says what is in blocks. It
        still holds what was deleted.
        """
        newest = self.all[-1]
        gone = [block for block in blocks if block is not newest]
        self.all = tuple(b for b in self.all if b not in gone)
        self._remove(gone)
        if newest in blocks:
            self._emptied = newest

    def can_clean(self, block: Block) -> bool:
        """Tell whether writing a block again can take out of it what was deleted."""
        return not block.damaged and not (block is self._emptied and block is self.all[-1])

    def number_from(self, sequence: int) -> None:
        """Give no number below this to a block."""
        self._first_free = max(self._first_free, sequence)

    def touching(self, mint: int, maxt: int) -> list[Block]:
        """Return the blocks that may have samples in a range, by their rank."""
        return sorted((b for b in self.all if b.touches(mint, maxt)), key=lambda b: b.meta.rank)

    def select(self, index: SeriesIndex, matchers: Sequence[Matcher], mint: int, maxt: int) -> Refs:
        """Return the series that match, those of all blocks that touch a range among them.

        A block whose index turns out to be damaged is set aside.

        Raises:
            StorageError: If a block cannot be read for another reason.
        """
        return self.loaded(index, mint, maxt, lambda: index.select(matchers))

    def series_unread(self, mint: int, maxt: int) -> int:
        """Return how many series the blocks have of which the index has not been read for a range."""
        unread = (b for b in self.touching(mint, maxt) if not b.is_read(mint, maxt))
        return sum(block.meta.series for block in unread)

    def loaded(
        self, index: SeriesIndex, mint: int, maxt: int, find: Callable[[], FoundT]
    ) -> FoundT:
        """Return what is found while the series of all blocks that touch a range are known; see ``select``."""
        with self._tables:
            for block in self.touching(mint, maxt):
                try:
                    block.tables(index, mint, maxt)
                except DamagedError as error:
                    self._leaving[block] = None  # others may be reading what is whole of it
                    self.readers.afterwards(partial(self._leaving.pop, block))
                    self.all = tuple(b for b in self.all if b is not block)
                    self._set_aside(block.path, error)
            return find()

    def concerned(self, block: Block, deletions: Iterable[Deletion]) -> bool:
        """Tell whether a block may hold what was deleted."""
        clean_of = self._clean.get(block.meta.sequence, ())
        return any(
            block.meta.sequence < d.before_sequence
            and block.touches(d.mint, d.maxt)
            and d not in clean_of
            for d in deletions
        )

    def note_clean(self, block: Block, deletions: Sequence[Deletion]) -> None:
        """Remember that a block holds nothing of what these deleted."""
        self._clean[block.meta.sequence] = tuple(deletions)

    def unload_idle(self, now_ms: int) -> bool:
        """Forget the indices that nobody asked for in a while; False if there were none."""
        some = False
        with self._tables:
            for block in self.all:
                number = block.meta.sequence
                if block.asked:
                    block.asked = False
                    self._asked_ms[number] = now_ms
                    continue
                asked_ms = self._asked_ms.get(number, now_ms)
                self._asked_ms[number] = min(asked_ms, now_ms)  # the clock may have gone back
                if now_ms - asked_ms > _UNLOAD_MS and block.known_refs():
                    block.unload()
                    some = True
        return some

    def forget_unused(self, index: SeriesIndex, head: Head) -> int:
        """Let the index forget series that neither the head nor a block that was read names."""
        with head.lock, self._tables:
            read = [refs for block in self.on_disk for refs in block.known_refs()]
            return index.forget([*head.refs_in_use(), *read])

    def release_unused(self, index: SeriesIndex, head: Head) -> Refs:
        """Let the index take the identity of series that nothing has named for long; the caller holds the head's lock.

        Returns:
            Refs that are to be recycled when all who read now are done.
        """
        with self._tables:
            read = [refs for block in self.on_disk for refs in block.known_refs()]
            return index.release([*head.refs_in_use(), *head.refs_of_layouts(), *read])

    def retain(self, now_ms: int) -> int:
        """Drop the blocks that retention does not cover, and return how many went.

        A block goes when both the newest of its samples and the time it was taken in are past.
        The newest block always stays: it says what the log need not be read for.
        """
        keep = list(self.all)
        gone: list[Block] = []
        if self._settings.retention_ms:
            first = now_ms - self._settings.retention_ms
            gone = [b for b in keep[:-1] if max(b.meta.maxt, b.meta.taken_ms) < first]
            keep = [b for b in keep if b not in gone]
        if self._settings.retention_bytes:
            total = sum(b.size_bytes for b in keep)
            for block in sorted(keep[:-1], key=lambda b: max(b.meta.maxt, b.meta.taken_ms)):
                if total <= self._settings.retention_bytes:
                    break
                keep.remove(block)
                gone.append(block)
                total -= block.size_bytes
        if gone:
            self.all = tuple(keep)
            self._remove(gone)
            log.info("%d blocks are past retention and were dropped", len(gone))
        return len(gone)

    def _remove(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._clean.pop(block.meta.sequence, None)
            self._asked_ms.pop(block.meta.sequence, None)
            self._leaving[block] = None
            self.readers.afterwards(partial(self._delete, block))

    def _delete(self, block: Block) -> None:
        remove_block(block.path)
        del self._leaving[block]

    def _set_aside(self, path: Path, error: DamagedError) -> None:
        aside = self.directory.with_name("quarantine")
        aside.mkdir(exist_ok=True)
        goal = aside / path.name
        number = 0
        while goal.exists():
            number += 1
            goal = aside / f"{path.name}.{number}"
        self.number_from(int(path.name) + 1)
        path.rename(goal)
        fsync_directory(aside)
        fsync_directory(self.directory)
        self._damaged("block_damaged")
        log.error("%s; the block is set aside in %s and missing from answers", error, goal)
