"""From memory to disk: windows that are over become blocks, and the log behind them goes."""

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from model.errors import StorageError
from storage.failpoint import reach
from storage.tsdb.block import Block, remove_block
from storage.tsdb.blocks import Blocks
from storage.tsdb.blockwriter import BlockWriter
from storage.tsdb.chunk import Chunk
from storage.tsdb.head import Head
from storage.tsdb.join import join
from storage.tsdb.late import late_chunks
from storage.tsdb.levels import lengths
from storage.tsdb.merging import Merger
from storage.tsdb.reserve import Reserve
from storage.tsdb.samples import SAMPLE_BYTES, Samples
from storage.tsdb.settings import TsdbSettings
from storage.tsdb.wal import Wal
from storage.tsdb.walsegment import SegmentInfo

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_OLD_WINDOWS = 12  # windows further back share a block, so that a backfill does not make thousands


class Compactor:
    """Writes blocks; called by one thread."""

    def __init__(
        self, head: Head, wal: Wal, blocks: Blocks, merger: Merger, settings: TsdbSettings
    ) -> None:
        self._head = head
        self._merger = merger
        self._wal = wal
        self._blocks = blocks
        self._settings = settings
        self._late_segment = 0  # samples that the lane has frozen are in segments before this one
        self._reserve = Reserve(blocks.directory.with_name("reserve"), settings.reserve_bytes)

    def run(self, now_ms: int) -> int:
        """Write what is due and return the number of blocks written.

        Raises:
            StorageError: If a block cannot be written. Nothing is lost then, and if the disk is full
                the next try has the reserve to itself.
        """
        self._reserve.hold()
        return self._tried(lambda: self._run(now_ms), frees_the_log=True)

    def merge(self, now_ms: int) -> bool:
        """Merge the blocks that are most due; False if none are.

        Raises:
            StorageError: As ``run`` does; the reserve is not for this, which frees no log.
        """
        return self._tried(lambda: self._merger.run(now_ms))

    def clean(self, now_ms: int) -> None:
        """Write every block anew from which something was deleted.

        Raises:
            StorageError: As ``run`` does.
        """
        self._tried(lambda: self._merger.clean(now_ms))

    def _tried(self, work: Callable[[], _T], *, frees_the_log: bool = False) -> _T:
        try:
            return work()
        except OSError as error:
            if error.errno == errno.ENOSPC and frees_the_log and self._reserve.give_up():
                log.warning("%s: the disk is full; its reserve is used now", self._blocks.directory)
            raise StorageError(
                f"{self._blocks.directory}: cannot write: {error.strerror}"
            ) from error

    def _run(self, now_ms: int) -> int:
        block_ms = self._settings.block_ms
        until = (now_ms - self._settings.block_delay_ms) // block_ms * block_ms
        before = len(self._blocks.all)
        windows_over = self._head.oldest_ms() < until
        if windows_over:
            self._write_windows(until, now_ms)
        if self._head.lane.size and (
            windows_over
            or self._head.lane.bytes >= self._settings.lane_samples * SAMPLE_BYTES
            or self._head.lane.age_ms(now_ms) >= block_ms
        ):
            self._write_late(now_ms)
        if len(self._blocks.all) > before:
            self._wal.drop(self._is_in_blocks)
        return len(self._blocks.all) - before

    def _is_in_blocks(self, number: int, info: SegmentInfo) -> bool:
        late = not info.late or number < self._blocks.late_from_segment
        return late and info.max_ts_ms < self._blocks.head_until_ms

    def _write_windows(self, until: int, now_ms: int) -> None:
        due = self._head.close_until(until)
        if not due:
            return
        block_ms = self._settings.block_ms
        oldest = until // block_ms - _OLD_WINDOWS
        windows: dict[int, list[Chunk]] = {}
        for chunk in due:
            windows.setdefault(max(chunk.mint // block_ms, oldest), []).append(chunk)
        for window in sorted(windows):
            writer = BlockWriter(self._blocks.directory, self._blocks.next_sequence)
            try:
                for chunk in join(windows[window]):
                    writer.add(chunk)
                block = writer.finish(
                    self._head.index,
                    taken_ms=now_ms,
                    late=False,
                    head_until_ms=(window + 1) * block_ms,
                    late_from_segment=self._blocks.late_from_segment,
                )
            except BaseException:
                writer.abandon()
                raise
            self._blocks.add(block)
            reach("compact.window_added")
            self._head.release(windows[window])
        log.info("%d windows written to blocks", len(windows))

    def _write_late(self, now_ms: int) -> None:
        with self._head.lock:
            samples = self._head.lane.frozen()  # could not be written the last time
            if not samples.size:
                self._wal.flush()
                self._late_segment = self._wal.rotate()
                samples = self._head.lane.freeze()
        segment = self._late_segment
        blocks = self._blocks
        parts = self._windows_of(samples)
        made: list[Block] = []
        for part in parts:
            writer = BlockWriter(blocks.directory, blocks.next_sequence + len(made))
            try:
                for chunk in late_chunks(part, self._head.index.metric_codes):
                    writer.add(chunk)
                block = writer.finish(
                    self._head.index,
                    taken_ms=now_ms,
                    late=True,
                    head_until_ms=blocks.head_until_ms,
                    late_from_segment=segment if part is parts[-1] else blocks.late_from_segment,
                )
            except BaseException:
                writer.abandon()
                for one in made:
                    remove_block(one.path)
                raise
            made.append(block)
        for block in made:
            blocks.add(block)
        reach("compact.late_written")
        with self._head.lock:
            self._head.lane.release(now_ms)

    def _windows_of(self, samples: Samples) -> list[Samples]:
        """Cut samples at the edges of windows, so that their blocks can be folded into those of scrapes."""
        for length in lengths(self._settings):
            window = samples.ts_ms // length
            found = np.unique(window)
            if len(found) <= _OLD_WINDOWS:
                return [samples.take(window == one) for one in found.tolist()]
        return [samples]
