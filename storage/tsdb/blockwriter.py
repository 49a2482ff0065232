"""Writing a block: chunk by chunk into a directory that gets its name when all is on disk."""

import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.failpoint import reach
from storage.interface import Refs
from storage.tsdb.block import FRAMES_HEAD, INDEX_HEAD, Block, remove_block
from storage.tsdb.blockmeta import BLOCK_VERSION, BlockMeta, encode_meta
from storage.tsdb.chunk import Chunk
from storage.tsdb.codec import compress
from storage.tsdb.container import pack, pack_table
from storage.tsdb.files import fsync_directory, write_all, write_synced
from storage.tsdb.index import SeriesIndex


class BlockWriter:
    """Writes one block: chunk by chunk into a directory that gets its name when all is on disk."""

    def __init__(self, blocks: Path, sequence: int) -> None:
        self._final = blocks / f"{sequence:010d}"
        self._path = blocks / f"{sequence:010d}.tmp"
        self.sequence = sequence
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
        late_until_ms: int = -(2**63),
        replaces: tuple[int, ...] = (),
        order: int = 0,
    ) -> Block:
        """Write index and meta, make all of it durable, and give the block its name.

        The arguments are fields of ``BlockMeta``, but for ``index``, which knows the labels of the refs.

        Raises:
            OSError: If the disk is full or broken.
        """
        all_refs = np.concatenate(self._refs)
        refs, series = np.unique(all_refs, return_inverse=True)
        meta = encode_meta(
            BlockMeta(
                version=BLOCK_VERSION,
                sequence=self.sequence,
                mint=min(row[3] for row in self._rows),
                maxt=max(row[4] for row in self._rows),
                taken_ms=taken_ms,
                late=late,
                head_until_ms=head_until_ms,
                late_from_segment=late_from_segment,
                series=len(refs),
                samples=self._samples,
                late_until_ms=late_until_ms,
                replaces=replaces,
                order=order,
            )
        )
        body = compress(
            pack(
                {
                    **pack_table(index.table(refs)),
                    "meta": [meta],
                    "series": series.reshape(-1).astype(np.int32),
                    "chunks": np.array(self._rows, dtype=np.int64),
                    "starts": np.concatenate(self._starts),
                    "bounds": np.concatenate(self._bounds),
                }
            ),
            level=3,
        )
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        reach("block.frames_written")
        crc = zlib.crc32(body).to_bytes(4, "little")
        write_synced(self._path / "index", INDEX_HEAD + crc + body)
        reach("block.index_written")
        write_synced(self._path / "meta.json", meta.encode())
        fsync_directory(self._path)
        reach("block.meta_written")
        self._path.rename(self._final)
        fsync_directory(self._final.parent)
        reach("block.named")
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
        reach("block.begun")

    def _put(self, data: bytes) -> None:
        write_all(self._fd, data)
        self._at += len(data)
