"""All blocks of a store: opened at the start, added, dropped when they are too old or too many."""

import logging
import threading
from pathlib import Path

from storage.tsdb.block import Block, remove_block
from storage.tsdb.head import Head
from storage.tsdb.index import SeriesIndex
from storage.tsdb.settings import TsdbSettings

log = logging.getLogger(__name__)


class Blocks:
    """The blocks, oldest first. One thread changes them, any number reads ``all``.

    Attributes:
        all: Every block in the order they were written; replaced as a whole.
    """

    def __init__(self, directory: Path, settings: TsdbSettings) -> None:
        self.directory = directory
        self._settings = settings
        self.all: tuple[Block, ...] = ()
        self._tables = threading.Lock()

    def open(self) -> None:
        """Find the blocks, and take away what was never finished or not quite deleted.

        Raises:
            StorageError: If a block cannot be read or is of an unknown version.
        """
        for path in self.directory.iterdir():
            if path.suffix in {".tmp", ".gone"}:
                remove_block(path)
        paths = sorted(p for p in self.directory.iterdir() if p.name.isdigit())
        self.all = tuple(Block(path) for path in paths)

    @property
    def next_sequence(self) -> int:
        """Number of the next block."""
        return self.all[-1].meta.sequence + 1 if self.all else 1

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
        late = [b.meta for b in self.all if b.meta.late]
        return max((min(m.maxt, m.taken_ms) for m in late), default=-(2**63))

    @property
    def size_bytes(self) -> int:
        """Size of all blocks."""
        return sum(b.size_bytes for b in self.all)

    def add(self, block: Block) -> None:
        """Let readers see a block."""
        self.all = (*self.all, block)

    def touching(self, mint: int, maxt: int) -> list[Block]:
        """Return the blocks that may have samples in a range, in the order they were written."""
        return [b for b in self.all if b.touches(mint, maxt)]

    def load(self, index: SeriesIndex, mint: int, maxt: int) -> None:
        """Make the series of all blocks that touch a range known to the index.

        Raises:
            StorageError: If a block cannot be read.
        """
        with self._tables:
            for block in self.touching(mint, maxt):
                block.table(index)

    def forget_unused(self, index: SeriesIndex, head: Head) -> int:
        """Let the index forget series that neither the head nor a block that was read names."""
        with head.lock, self._tables:
            read = [refs for block in self.all for refs in block.known_refs()]
            return index.forget([*head.refs_in_use(), *read])

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
            for block in gone:
                remove_block(block.path)
            log.info("%d blocks are past retention and were dropped", len(gone))
        return len(gone)
