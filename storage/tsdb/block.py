"""A block on disk: chunks of one time window that never change.

A directory with three files: ``frames`` (all encoded frames, one after the other), ``index`` (labels
of the series and where each frame is) and ``meta.json``. What is written here is read here.
"""

import json
import os
import threading
import weakref
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.errors import StorageError
from storage.interface import Refs
from storage.tsdb.chunk import Chunk, FrameCache, FrameTable, Piece
from storage.tsdb.codec import compress, decompress
from storage.tsdb.container import pack, pack_table, unpack, unpack_table
from storage.tsdb.files import fsync_directory, write_all, write_synced
from storage.tsdb.index import SeriesIndex

BLOCK_VERSION: Final = 1
FRAMES_HEAD: Final = b"TSCPFRM" + bytes([BLOCK_VERSION])
INDEX_HEAD: Final = b"TSCPIDX" + bytes([BLOCK_VERSION])


@dataclass(frozen=True, slots=True)
class BlockMeta:
    """What ``meta.json`` says.

    Attributes:
        version: Format of the block.
        sequence: Blocks are numbered in the order they were written.
        mint: Time of the first sample.
        maxt: Time of the last one.
        taken_ms: When the block was written: none of its samples was taken in later.
        late: True if its samples came with their own timestamps.
        head_until_ms: All scrapes before this time are in this block or earlier ones.
        late_from_segment: All late samples in WAL segments before this one are in this block or
            earlier ones.
        series: Number of series.
        samples: Number of samples, gaps included.
    """

    version: int
    sequence: int
    mint: int
    maxt: int
    taken_ms: int
    late: bool
    head_until_ms: int
    late_from_segment: int
    series: int
    samples: int


@dataclass(frozen=True, slots=True)
class _File:
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
            raise StorageError(f"{self.path}: ends before byte {start + size}")
        return data


class Block:
    """One block; its index is read when it is first looked at.

    Attributes:
        path: Its directory.
        meta: What ``meta.json`` says.
        size_bytes: Size of its files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta = _read_meta(path / "meta.json")
        self._lock = threading.Lock()
        self._table: FrameTable | None = None
        try:
            self.size_bytes = sum(p.stat().st_size for p in path.iterdir())
            self._fd = os.open(path / "frames", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"{error.filename}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._fd)
        if os.pread(self._fd, len(FRAMES_HEAD), 0) != FRAMES_HEAD:
            raise StorageError(f"{path / 'frames'}: is no frames file of version {BLOCK_VERSION}")

    def touches(self, mint: int, maxt: int) -> bool:
        """Tell whether the block may have samples in a range."""
        return self.meta.mint <= maxt and self.meta.maxt >= mint

    def table(self, index: SeriesIndex) -> FrameTable:
        """Return which series are where, reading the index file the first time.

        Raises:
            StorageError: If it cannot be read.
        """
        with self._lock:
            if self._table is None:
                self._table = FrameTable(self._read_index(index))
            return self._table

    def known_refs(self) -> Sequence[Refs]:
        """Return the refs that this block's table uses, if it has been read."""
        table = self._table
        return [] if table is None else [chunk.refs for chunk in table.chunks]

    def pieces(
        self,
        index: SeriesIndex,
        lookup: npt.NDArray[np.int32],
        mint: int,
        maxt: int,
        cache: FrameCache,
    ) -> Iterator[Piece]:
        """Decode the frames that hold wanted series and touch the range.

        Raises:
            StorageError: If a frame cannot be read.
        """
        try:
            yield from self.table(index).pieces(lookup, mint, maxt, cache)
        except StorageError as error:
            raise StorageError(f"block {self.path}: {error}") from error

    def _read_index(self, index: SeriesIndex) -> list[Chunk]:
        path = self.path / "index"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        head = len(INDEX_HEAD)
        body = memoryview(data)[head + 4 :]
        crc = int.from_bytes(data[head : head + 4], "little")
        if data[:head] != INDEX_HEAD or zlib.crc32(body) != crc:
            raise StorageError(f"{path}: damaged, or not of version {BLOCK_VERSION}")
        fields = unpack(decompress(body))
        refs = index.intern_table(unpack_table(fields, self.meta.series))
        return list(self._chunks(fields, refs))

    def _chunks(self, fields: dict[str, Any], refs: Refs) -> Iterator[Chunk]:
        series = refs[fields["series"]]
        series_at = frame_at = 0
        for row in fields["chunks"].tolist():
            size, frames, width, mint, maxt, times_start, times_size = row
            starts = fields["starts"][frame_at : frame_at + frames + 1]
            source = _File(self._fd, self.path / "frames", (times_start, times_size), starts)
            yield Chunk(
                series[series_at : series_at + size],
                fields["bounds"][frame_at : frame_at + frames + 1],
                mint,
                maxt,
                width,
                self.meta.late,
                source,
            )
            series_at += size
            frame_at += frames + 1


def _read_meta(path: Path) -> BlockMeta:
    try:
        found = json.loads(path.read_bytes())
        version = found["version"]
        if version != BLOCK_VERSION:
            raise StorageError(
                f"{path}: block version {version} is unknown here "
                f"(this Taskscope reads {BLOCK_VERSION}); use the version that wrote it"
            )
        return BlockMeta(**found)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path}: damaged: {error}") from error


class BlockWriter:
    """Writes one block: chunk by chunk into a directory that gets its name when all is on disk."""

    def __init__(self, blocks: Path, sequence: int) -> None:
        self._final = blocks / f"{sequence:010d}"
        self._path = blocks / f"{sequence:010d}.tmp"
        self._sequence = sequence
        self._fd = -1
        self._at = 0
        self._rows: list[tuple[int, ...]] = []
        self._refs: list[Refs] = []
        self._starts: list[npt.NDArray[np.int64]] = []
        self._bounds: list[npt.NDArray[np.int64]] = []
        self._samples = 0
        try:
            self._begin()
        except BaseException:
            self.abandon()
            raise

    @property
    def empty(self) -> bool:
        """True if no chunk was added."""
        return not self._rows

    def add(self, chunk: Chunk) -> None:
        """Write one chunk.

        Raises:
            OSError: If the disk is full or broken.
        """
        frames = len(chunk.bounds) - 1
        times = chunk.frames.times()
        times_at = self._at
        self._put(times)
        starts = [self._at]
        for number in range(frames):
            self._put(chunk.frames.frame(number))
            starts.append(self._at)
        self._starts.append(np.array(starts, dtype=np.int64))
        self._bounds.append(chunk.bounds)
        self._refs.append(chunk.refs)
        row = (chunk.width, chunk.mint, chunk.maxt, times_at, len(times))
        self._rows.append((len(chunk.refs), frames, *row))
        self._samples += len(chunk.refs) * chunk.width

    def finish(
        self,
        index: SeriesIndex,
        *,
        taken_ms: int,
        late: bool,
        head_until_ms: int,
        late_from_segment: int,
    ) -> Block:
        """Write index and meta, make all of it durable, and give the block its name.

        Raises:
            OSError: If the disk is full or broken.
        """
        all_refs = np.concatenate(self._refs)
        refs, series = np.unique(all_refs, return_inverse=True)
        body = compress(
            pack(
                {
                    **pack_table(index.table(refs)),
                    "series": series.reshape(-1).astype(np.int32),
                    "chunks": np.array(self._rows, dtype=np.int64),
                    "starts": np.concatenate(self._starts),
                    "bounds": np.concatenate(self._bounds),
                }
            ),
            level=3,
        )
        meta = BlockMeta(
            version=BLOCK_VERSION,
            sequence=self._sequence,
            mint=min(row[3] for row in self._rows),
            maxt=max(row[4] for row in self._rows),
            taken_ms=taken_ms,
            late=late,
            head_until_ms=head_until_ms,
            late_from_segment=late_from_segment,
            series=len(refs),
            samples=self._samples,
        )
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        crc = zlib.crc32(body).to_bytes(4, "little")
        write_synced(self._path / "index", INDEX_HEAD + crc + body)
        write_synced(self._path / "meta.json", json.dumps(asdict(meta), indent=1).encode())
        fsync_directory(self._path)
        self._path.rename(self._final)
        fsync_directory(self._final.parent)
        return Block(self._final)

    def abandon(self) -> None:
        """Take away what was written."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        remove_block(self._path)

    def _begin(self) -> None:
        self._path.mkdir()
        self._fd = os.open(
            self._path / "frames", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644
        )
        self._put(FRAMES_HEAD)

    def _put(self, data: bytes) -> None:
        write_all(self._fd, data)
        self._at += len(data)


def remove_block(path: Path) -> None:
    """Delete a block's directory; readers that have it open are not disturbed."""
    if not path.exists():
        return
    gone = path.with_suffix(".gone")
    if path.suffix not in {".gone", ".tmp"}:
        path = path.rename(gone)
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
