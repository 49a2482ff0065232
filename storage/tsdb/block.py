"""A block on disk: chunks of one time window that never change.

A directory with three files: ``frames`` (all encoded frames, one after the other), ``index`` (labels
of the series and where each frame is) and ``meta.json``. What is written here is read here.
"""

import logging
import os
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.errors import StorageError
from model.labels import LabelColumn, LabelTable
from storage.failpoint import reach
from storage.interface import Refs
from storage.tsdb.blockmeta import BLOCK_VERSION, BlockMeta, decode_meta, read_meta
from storage.tsdb.chunk import Chunk, FrameCache, FrameTable, Piece
from storage.tsdb.codec import decompress
from storage.tsdb.container import unpack, unpack_table
from storage.tsdb.damage import DamagedError
from storage.tsdb.index import SeriesIndex

log = logging.getLogger(__name__)

_PART_MS: Final = 2 * 3_600_000  # of an index: what is read at once
_MOST_PARTS: Final = 512
FRAMES_HEAD: Final = b"TSCPFRM" + bytes([BLOCK_VERSION])
INDEX_HEAD: Final = b"TSCPIDX" + bytes([BLOCK_VERSION])


class _File(Struct, frozen=True):
    """Frames in an open file."""

    fd: int
    path: Path
    times_at: tuple[int, int]
    starts: npt.NDArray[np.int64]

    def times(self) -> bytes:
        """Return the encoded timestamps."""
        return self._read(*self.times_at)

    def frame(self, number: int) -> bytes:
        """Return one encoded frame."""
        start, stop = self.starts[number : number + 2].tolist()
        return self._read(start, stop - start)

    def _read(self, start: int, size: int) -> bytes:
        try:
            data = os.pread(self.fd, size, start)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        if len(data) < size:
            raise DamagedError(f"{self.path}: ends before byte {start + size}")
        return data


class Block:
    """One block; its index is read when it is first looked at.

    Attributes:
        path: Its directory.
        meta: What ``meta.json`` says, or where that is damaged its copy in the index.
        size_bytes: Size of its files.
        damaged: True once some of it could not be read; it is left as it is then.
        asked: True if the index was looked at since this was last set to False.
        on_damage: Called once for each frame that turns out to be damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = False
        self.asked = True
        self.on_damage: Callable[[str], None] = lambda operation: None
        self._lock = threading.Lock()
        self._tables: tuple[FrameTable, ...] = ()
        self._read: set[int] = set()
        self._chunk_rows: set[int] = set()
        self._told: set[str] = set()
        self.meta = self._find_meta()
        try:
            self.size_bytes = sum(p.stat().st_size for p in path.iterdir())
            self._fd = os.open(path / "frames", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise DamagedError(f"{error.filename}: is not there") from error
        except OSError as error:
            raise StorageError(f"{error.filename}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._fd)

    def touches(self, mint: int, maxt: int) -> bool:
        """Tell whether the block may have samples in a range."""
        return self.meta.mint <= maxt and self.meta.maxt >= mint

    def tables(self, index: SeriesIndex, mint: int, maxt: int) -> Sequence[FrameTable]:
        """Return which series are where, of all chunks that touch a range; some more may be there.

        Of the index file only that is kept which somebody asked for, so that a query over an hour
        of a block of days does not bring the series of days into memory.

        Raises:
            DamagedError: If the index is damaged.
            StorageError: If it cannot be read.
        """
        with self._lock:
            self.asked = True
            wanted = self._unread(mint, maxt)
            if wanted:
                part_ms = self._part_ms
                span = min(wanted) * part_ms, (max(wanted) + 1) * part_ms - 1
                chunks = self.read_chunks(index, *span, without=self._chunk_rows)
                if chunks:
                    self._tables = (*self._tables, FrameTable(chunks, self._tell))
                self._read |= wanted
            return self._tables

    def is_read(self, mint: int, maxt: int) -> bool:
        """Tell whether all that the index says of a range has been read."""
        return not self._unread(mint, maxt)

    @property
    def _part_ms(self) -> int:
        return max(_PART_MS, (self.meta.maxt - self.meta.mint) // _MOST_PARTS)

    def _unread(self, mint: int, maxt: int) -> set[int]:
        low, high = max(mint, self.meta.mint), min(maxt, self.meta.maxt)
        return set(range(low // self._part_ms, high // self._part_ms + 1)) - self._read

    def unload(self) -> None:
        """Forget the index; whoever asks for it again reads it again."""
        with self._lock:
            self._tables = ()
            self._read = set()
            self._chunk_rows = set()

    def known_refs(self) -> Sequence[Refs]:
        """Return the refs that this block's tables use, as far as they have been read."""
        return [chunk.refs for table in self._tables for chunk in table.chunks]

    def pieces(
        self,
        index: SeriesIndex,
        lookup: npt.NDArray[np.int32],
        mint: int,
        maxt: int,
        cache: FrameCache,
    ) -> Iterator[Piece]:
        """Decode the frames that hold wanted series and touch the range; damaged ones are left out and said.

        Raises:
            StorageError: If a frame cannot be read.
        """
        try:
            for table in self.tables(index, mint, maxt):
                yield from table.pieces(lookup, mint, maxt, cache)
        except StorageError as error:
            raise StorageError(f"block {self.path}: {error}") from error

    def read_chunks(
        self,
        index: SeriesIndex,
        mint: int = -(2**63),
        maxt: int = 2**63 - 1,
        without: set[int] | None = None,
    ) -> list[Chunk]:
        """Read the chunks that touch a range, with the refs that an index gives to their labels.

        Args:
            index: Learns of the series of these chunks.
            mint: First time.
            maxt: Last time.
            without: Numbers of chunks that are left out; those that are read are put in.

        Raises:
            DamagedError: If the index file is damaged.
            StorageError: If it cannot be read.
        """
        fields = _read_index(self.path / "index")
        seen = set() if without is None else without
        try:
            rows = fields["chunks"]
            near = (rows[:, 3] <= maxt) & (rows[:, 4] >= mint)
            numbers = [number for number in np.flatnonzero(near).tolist() if number not in seen]
            series_at = np.concatenate([[0], np.cumsum(rows[:, 0])])
            picked = [fields["series"][series_at[n] : series_at[n + 1]] for n in numbers]
            used, places = np.unique(_joined(picked), return_inverse=True)
            table = unpack_table(fields, self.meta.series)
            if len(used) < self.meta.series:
                table = _part(table, used)
            refs = index.intern_table(table)[places.reshape(-1)]
            found = list(self._chunks(fields, numbers, refs))
        except (LookupError, ValueError) as error:
            raise DamagedError(f"{self.path / 'index'}: damaged: {error}") from error
        seen.update(numbers)
        return found

    def _find_meta(self) -> BlockMeta:
        path = self.path / "meta.json"
        try:
            return read_meta(path)
        except DamagedError as error:
            try:
                (text,) = _read_index(self.path / "index")["meta"]
                meta = decode_meta(text, str(self.path / "index"))
            except (StorageError, LookupError, ValueError):
                raise error from None
            log.warning("%s; the copy in the index is used", error)
            return meta

    def _tell(self, chunk: Chunk, number: int, error: DamagedError) -> None:
        self.damaged = True
        key = f"{chunk.key} {number}"
        if key not in self._told:
            self._told.add(key)
            self.on_damage("frame_damaged")
            log.error(
                "block %s: %s; %d series from %d to %d ms are left out of answers",
                self.path,
                error,
                chunk.bounds[number + 1] - chunk.bounds[number],
                chunk.mint,
                chunk.maxt,
            )

    def _chunks(
        self, fields: dict[str, Any], numbers: Sequence[int], refs: Refs
    ) -> Iterator[Chunk]:
        rows = fields["chunks"]
        frame_at = np.concatenate([[0], np.cumsum(rows[:, 1] + 1)]).tolist()
        at = 0
        for number in numbers:
            size, frames, width, mint, maxt, times_start, times_size = rows[number].tolist()
            first = frame_at[number]
            starts = fields["starts"][first : first + frames + 1]
            yield Chunk(
                refs[at : at + size],
                fields["bounds"][first : first + frames + 1],
                mint,
                maxt,
                width,
                self.meta.late,
                _File(self._fd, self.path / "frames", (times_start, times_size), starts),
            )
            at += size


def _joined(parts: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate([np.empty(0, dtype=np.int32), *parts])


def _part(table: LabelTable, rows: npt.NDArray[np.int32]) -> LabelTable:
    """Return some rows of a table; its dictionaries hold only what occurs in them."""
    columns = {}
    for name, column in table.columns.items():
        used, codes = np.unique(column.codes[rows], return_inverse=True)
        if used.any():
            codes = codes.reshape(-1) + (used[0] != 0)  # code 0 is the absent label
            values = [column.values[code] for code in ([] if used[0] == 0 else [0]) + used.tolist()]
            columns[name] = LabelColumn(codes.astype(np.int32), values)
    return LabelTable(len(rows), columns)


def _read_index(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: is not there") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    head = len(INDEX_HEAD)
    body = memoryview(data)[head + 4 :]
    crc = int.from_bytes(data[head : head + 4], "little")
    if zlib.crc32(body) != crc:
        raise DamagedError(f"{path}: damaged: the checksum is wrong")
    if data[:head] != INDEX_HEAD:
        log.warning("%s: its head is damaged; the rest is whole and is used", path)
    return unpack(decompress(body))


def remove_block(path: Path) -> None:
    """Delete a block's directory; readers that have it open are not disturbed."""
    if not path.exists():
        return
    gone = path.with_suffix(".gone")
    if path.suffix not in {".gone", ".tmp"}:
        path = path.rename(gone)
    for file in path.iterdir():
        reach("block.removing")
        file.unlink()
    path.rmdir()
