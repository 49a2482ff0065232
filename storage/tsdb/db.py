"""The series store as the rest of Taskscope sees it."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from prometheus_client import CollectorRegistry

from model.clock import Clock, now_ms
from model.errors import StorageError
from model.histogram.pool import HistogramColumn
from model.labels import Labels, Matcher
from model.samples import Exemplar, Floats, Ints, ScrapeBatch, Ticket
from storage.failpoint import reach
from storage.interface import (
    Appender,
    ExemplarQueryable,
    Hints,
    Metadata,
    Queryable,
    Refs,
    SeriesDeleter,
    SeriesExemplars,
    SeriesSet,
)
from storage.tsdb.blocks import Blocks
from storage.tsdb.chunk import FrameCache
from storage.tsdb.compact import Compactor
from storage.tsdb.deletions import Deletion, Deletions, Pending
from storage.tsdb.directory import DirectoryLock, open_directory
from storage.tsdb.head import Head
from storage.tsdb.index import SeriesIndex
from storage.tsdb.limits import SeriesLimits
from storage.tsdb.merging import Merger
from storage.tsdb.metrics import TsdbMetrics
from storage.tsdb.query import Querier
from storage.tsdb.replay import replay
from storage.tsdb.resets import taken
from storage.tsdb.samples import Samples
from storage.tsdb.settings import TsdbSettings
from storage.tsdb.stack import Stack
from storage.tsdb.stats import Cardinality, TsdbStats
from storage.tsdb.survey import count, look
from storage.tsdb.wal import Wal

log = logging.getLogger(__name__)

_RELEASE_MS: Final = 10 * 60_000  # series that are gone are looked for so often


class Tsdb:
    """The embedded store of series: an ``Appender`` and a ``Queryable``.

    Args:
        directory: Where everything is kept; made if it is not there.
        settings: Sizes and times.
        clock: Decides what is old.
        registry: Where the store's own metrics go.
    """

    def __init__(
        self,
        directory: Path,
        settings: TsdbSettings,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._metrics = TsdbMetrics(registry)
        limits = SeriesLimits(
            settings.max_series, settings.max_series_per_target, self._metrics.dropped
        )
        self._index = SeriesIndex(limits)
        self._head = Head(self._index, settings.block_ms, settings.max_exemplars)
        self._metadata: dict[str, Metadata] = {}
        self._lock_file: DirectoryLock | None = None
        self._wal = Wal(directory / "wal", self._head, settings, self._metrics)
        self._stopping = threading.Event()
        self._blocks = Blocks(directory / "blocks", settings, self._metrics.failed)
        self._deletions = Deletions(directory / "deletions")
        self._querier = Querier(
            self._head, self._blocks, self._deletions, FrameCache(settings.cache_bytes)
        )
        merger = Merger(
            self._blocks, self._deletions, settings, self._stopping.is_set, self._metrics.failed
        )
        self._compactor = Compactor(self._head, self._wal, self._blocks, merger, settings)
        self._thread: threading.Thread | None = None
        self._keeping = threading.Lock()
        self._running = False
        self._released_ms = 0
        self._gone: Refs = np.empty(0, dtype=np.int64)  # released, but no new segment yet

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Open the directory and bring back what the log holds.

        Raises:
            StorageError: If another process has the directory open, or it is of an unknown version.
        """
        began = time.monotonic()
        self._lock_file = open_directory(self._directory)
        try:
            self._blocks.open()
            lost_deletions = self._deletions.open()
            for deletion in self._deletions.all:
                self._blocks.number_from(deletion.before_sequence)
            self._head.persisted_ms = self._blocks.head_until_ms
            late_from = self._blocks.late_from_segment
            pending = Pending(self._deletions, self._head)
            found = replay(
                self._directory / "wal", self._head, late_from, now_ms(self._clock), pending.before
            )
            pending.finish()
            self._metrics.failures.labels("wal_damaged").inc(found.damaged)
            self._metrics.failures.labels("deletions_damaged").inc(lost_deletions)
            self._head.set_floor(self._blocks.late_until_ms)
            self._head.ahead = self._blocks.ahead
            self._wal.segments = found.segments
            self._metadata = found.metadata
            # if somebody took the log away: what is written now is neither deleted nor in blocks
            concerned = (deletion.before_segment for deletion in self._deletions.all)
            self._wal.start(found.metadata, max([1, late_from, *concerned]))
        except BaseException:
            self._lock_file.release()
            raise
        self._running = True
        self._thread = threading.Thread(target=self._housekeeping, name="tsdb-keep", daemon=True)
        self._thread.start()
        if found.samples:
            log.info(
                "%s: %d samples of %d series brought back in %.2f s",
                self._directory,
                found.samples,
                self._index.live,
                time.monotonic() - began,
            )

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Write what waits and close; safe twice and before ``start``."""
        if not self._running:
            return
        with self._head.lock:
            self._running = False
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        self._wal.stop(timeout_seconds)
        if self._lock_file is not None:
            self._lock_file.release()

    def flush(self) -> None:
        """Return once everything appended so far is written and fsynced.

        Raises:
            StorageError: If it could not be written.
        """
        self._check_running()
        self._wal.flush()

    # ------------------------------------------------------------ in

    def layout(self, labels: Sequence[Labels]) -> int:
        """See ``storage.interface.Appender``."""
        return self._head.layout(labels, now_ms(self._clock)).id

    def append(self, batch: ScrapeBatch) -> Ticket:
        """See ``storage.interface.Appender``.

        Raises:
            StorageError: If the store is not running, the layout unknown or its size another.
        """
        head = self._head
        with head.lock:
            self._check_running()
            layout = head.get(batch.layout_id)
            taken = head.append(layout, batch, now_ms(self._clock))
            ticket: Ticket | None = None
            if taken.late is not None:
                ticket = self._wal.samples(taken.late)
            if taken.column:
                ticket = self._wal.scrape(layout, batch.ts_ms, taken)
        self._metrics.scraped.inc(len(batch.values))
        assert ticket is not None, "a scrape goes into the slab or through the lane"
        return ticket

    def series(self, labels: Sequence[Labels]) -> Refs:
        """See ``storage.interface.Appender``."""
        return self._index.handles.of(self._index.intern(labels))

    def append_samples(
        self,
        refs: Refs,
        ts_ms: Ints,
        values: Floats,
        *,
        start_ms: Ints | None = None,
        histograms: HistogramColumn | None = None,
    ) -> Ticket:
        """See ``storage.interface.Appender``.

        Raises:
            UnknownSeriesError: If a series was forgotten, see ``TsdbSettings.forget_ms``.
            StorageError: If the store is not running.
        """
        stack = None if histograms is None else Stack.levelled(taken(histograms))
        with self._head.lock:
            self._check_running()
            known = self._index.handles.refs(refs)
            samples = Samples(known, ts_ms, values, start_ms, stack)
            self._head.append_late(samples, now_ms(self._clock))
            ticket = self._wal.samples(samples)
        self._metrics.late.inc(samples.size)
        return ticket

    def append_exemplars(self, refs: Refs, exemplars: Sequence[Exemplar]) -> Ticket:
        """See ``storage.interface.Appender``; the newest ``max_exemplars`` are kept.

        Raises:
            StorageError: If the store is not running.
        """
        with self._head.lock:
            self._check_running()
            known = self._index.handles.refs(refs)
            tokens = self._head.append_exemplars(known, exemplars)
            new = np.flatnonzero(tokens >= 0)
            fresh = [exemplars[number] for number in new.tolist()]
            return self._wal.exemplars(known[new], fresh, tokens[new])

    def set_metadata(self, metadata: Mapping[str, Metadata]) -> None:
        """See ``storage.interface.Appender``."""
        fresh = {n: m for n, m in metadata.items() if self._metadata.get(n) != m}
        if fresh:
            with self._head.lock:
                self._check_running()
                self._metadata = {**self._metadata, **fresh}
                self._wal.metadata(fresh)

    def delete_series(
        self, matcher_sets: Sequence[Sequence[Matcher]], mint: int, maxt: int
    ) -> None:
        """See ``storage.interface.SeriesDeleter``."""
        sets = tuple(tuple(matchers) for matchers in matcher_sets)
        with self._keeping, self._head.lock:
            self._check_running()
            self._wal.flush()
            deletion = Deletion(
                sets, mint, maxt, self._blocks.next_sequence, self._wal.begin_segment()
            )
            refs = deletion.refs(self._index)
            self._deletions.add(deletion)
            reach("delete.noted")
            self._head.erase(refs, mint, maxt)

    def clean_tombstones(self) -> None:
        """See ``storage.interface.SeriesDeleter``."""
        with self._keeping:
            self._check_running()
            self._compactor.clean(now_ms(self._clock))
            self._forget_deletions()

    # ------------------------------------------------------------ out

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        """See ``storage.interface.Queryable``."""
        return self._querier.select(matchers, mint, maxt, hints)

    def series_at_most(self, mint: int, maxt: int) -> int:
        """Return what the number of series with samples in a time does not exceed; quick, not exact."""
        return self._index.live + self._blocks.series_unread(mint, maxt)

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        """See ``storage.interface.Queryable``."""
        return self._querier.label_names(matchers, mint, maxt)

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        """See ``storage.interface.Queryable``."""
        return self._querier.label_values(name, matchers, mint, maxt)

    def metadata(self, metric: str = "") -> Mapping[str, Metadata]:
        """See ``storage.interface.Queryable``."""
        known = self._metadata
        if not metric:
            return known
        return {metric: known[metric]} if metric in known else {}

    def exemplars(
        self, matcher_sets: Sequence[Sequence[Matcher]], mint: int, maxt: int
    ) -> Sequence[SeriesExemplars]:
        """See ``storage.interface.ExemplarQueryable``."""
        if not matcher_sets:
            return []
        refs = np.unique(np.concatenate([self._index.select(one) for one in matcher_sets]))
        return self._head.exemplars.find(refs, mint, maxt)

    def stats(self) -> TsdbStats:
        """Return how much is in the store."""
        return look(self._head, self._blocks, self._wal, self._querier)

    def cardinality(self, limit: int = 10) -> Cardinality:
        """Return where the series come from and what limits kept out, ``limit`` rows of each kind."""
        return count(self._head, self._querier, limit)

    # ------------------------------------------------------------ within

    def maintain(self) -> None:
        """One round of housekeeping; the store's own thread does it every few seconds.

        Raises:
            StorageError: If a block cannot be written; it is tried again in the next round.
        """
        with self._keeping:
            self._maintain(now_ms(self._clock))

    def _maintain(self, now: int) -> None:
        settings = self._settings
        self._head.park_idle(now, settings.idle_ms, settings.forget_ms)
        written = self._compactor.run(now)
        dropped = self._blocks.retain(now)
        merged = self._compactor.merge(now)
        self._forget_deletions()
        unloaded = self._blocks.unload_idle(now)
        self._head.ahead = self._blocks.ahead
        if written or merged or dropped or unloaded:
            self._blocks.forget_unused(self._index, self._head)
        self._release(now)
        self._metrics.show(
            series=self._index.live,
            frames=sum(len(chunk.bounds) - 1 for chunk in self._head.sealed),
            blocks=len(self._blocks.all),
            block_bytes=self._blocks.size_bytes,
            wal_bytes=self._wal.size_bytes,
        )

    def _release(self, now: int) -> None:
        """Let series that are gone for long make room for others."""
        self._released_ms = min(self._released_ms, now)  # the clock may have gone back
        if now - self._released_ms < _RELEASE_MS:
            return
        self._released_ms = now
        with self._head.lock:
            released = self._blocks.release_unused(self._index, self._head)
            self._head.reset(released)
            self._head.set_floor(self._blocks.late_until_ms)
            gone = self._gone = np.concatenate([self._gone, released])
            if not len(gone):
                return
            self._wal.flush()
            self._wal.begin_segment()  # within one segment a number means one series
            self._gone = gone[:0]
        self._blocks.readers.afterwards(partial(self._index.recycle, gone))
        log.debug("%d series are gone and make room for others", len(gone))

    def _forget_deletions(self) -> None:
        if not self._deletions.all:
            return
        oldest = min(self._wal.segments, default=0)
        self._deletions.keep(
            lambda d: (
                d.before_segment > oldest
                or any(self._blocks.concerned(block, [d]) for block in self._blocks.on_disk)
            )
        )

    def _housekeeping(self) -> None:
        while not self._stopping.wait(self._settings.maintain_seconds):
            try:
                self.maintain()
            except Exception as error:  # the thread must live; the next round tries again
                self._metrics.failures.labels("housekeeping").inc()
                log.warning("housekeeping failed and will be tried again: %s", error)

    def _check_running(self) -> None:
        if not self._running:
            raise StorageError(f"{self._directory}: the store is not running")


if TYPE_CHECKING:
    _appender: type[Appender] = Tsdb
    _queryable: type[Queryable] = Tsdb
    _exemplars: type[ExemplarQueryable] = Tsdb
    _deleter: type[SeriesDeleter] = Tsdb
