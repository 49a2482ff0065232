"""The series store as the rest of Taskscope sees it."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from model.clock import Clock, now_ms
from model.errors import StorageError
from model.labels import Labels, Matcher
from model.samples import Floats, Ints, ScrapeBatch, Ticket
from storage.interface import Appender, Hints, Metadata, Queryable, Refs, SeriesSet
from storage.tsdb.chunk import Chunk, FrameCache, FrameTable
from storage.tsdb.directory import DirectoryLock, open_directory
from storage.tsdb.head import Head
from storage.tsdb.index import SeriesIndex
from storage.tsdb.lane import Triples
from storage.tsdb.merge import Parts, assemble
from storage.tsdb.metrics import TsdbMetrics
from storage.tsdb.replay import replay
from storage.tsdb.settings import TsdbSettings
from storage.tsdb.wal import Wal

log = logging.getLogger(__name__)


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
        self._index = SeriesIndex(settings.max_series)
        self._head = Head(self._index, settings.block_ms)
        self._cache = FrameCache(settings.cache_bytes)
        self._sealed: tuple[tuple[Chunk, ...], FrameTable] = ((), FrameTable(()))
        self._metadata: dict[str, Metadata] = {}
        self._lock_file: DirectoryLock | None = None
        self._wal = Wal(
            directory / "wal", self._index, settings, self._metrics, self._head.lane_withdraw
        )
        self._running = False

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Open the directory and bring back what the log holds.

        Raises:
            StorageError: If another process has the directory open, or it is of an unknown version.
        """
        began = time.monotonic()
        self._lock_file = open_directory(self._directory)
        try:
            found = replay(self._directory / "wal", self._head, 0, now_ms(self._clock))
            self._wal.segments = found.segments
            self._metadata = found.metadata
            self._wal.start(found.metadata)
        except BaseException:
            self._lock_file.release()
            raise
        self._running = True
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
        self._running = False
        self._wal.stop(timeout_seconds)
        if self._lock_file is not None:
            self._lock_file.release()

    def flush(self) -> None:
        """Return once everything appended so far is written and fsynced.

        Raises:
            StorageError: If it could not be written.
        """
        self._wal.flush()

    # ------------------------------------------------------------ in

    def layout(self, labels: Sequence[Labels]) -> int:
        """See ``storage.interface.Appender``."""
        return self._head.layout(labels).id

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
                ticket = self._wal.scrape(layout, batch.ts_ms, taken.values)
        self._metrics.samples.labels("scrape").inc(len(batch.values))
        assert ticket is not None, "a scrape goes into the slab or through the lane"
        return ticket

    def series(self, labels: Sequence[Labels]) -> Refs:
        """See ``storage.interface.Appender``."""
        return self._index.intern(labels)

    def append_samples(self, refs: Refs, ts_ms: Ints, values: Floats) -> Ticket:
        """See ``storage.interface.Appender``.

        Raises:
            StorageError: If the store is not running.
        """
        samples = Triples(refs, ts_ms, values)
        with self._head.lock:
            self._check_running()
            self._head.append_late(samples)
            ticket = self._wal.samples(samples)
        self._metrics.samples.labels("late").inc(samples.size)
        return ticket

    def set_metadata(self, metadata: Mapping[str, Metadata]) -> None:
        """See ``storage.interface.Appender``."""
        fresh = {n: m for n, m in metadata.items() if self._metadata.get(n) != m}
        if fresh:
            with self._head.lock:
                self._check_running()
                self._metadata = {**self._metadata, **fresh}
                self._wal.metadata(fresh)

    # ------------------------------------------------------------ out

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        """See ``storage.interface.Queryable``."""
        refs = self._index.select(matchers)
        if hints.series_only:
            refs = refs[self._present(mint, maxt)[refs]]
            return SeriesSet(self._index.table(refs), ())
        lookup = np.full(self._index.size, -1, dtype=np.int32)
        lookup[refs] = np.arange(len(refs), dtype=np.int32)
        # what moves goes from the slab to chunks and from the lane to blocks; reading in the same
        # order may see it twice but never misses it
        parts = Parts(len(refs))
        parts.slab = self._head.slab.gather(refs, lookup, mint, maxt)
        parts.late = self._head.lane.view().pick(lookup, mint, maxt)
        parts.pieces = list(self._sealed_table().pieces(lookup, mint, maxt, self._cache))
        found, groups = assemble(parts)
        return SeriesSet(self._index.table(refs[found]), groups)

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        """See ``storage.interface.Queryable``."""
        refs = self._index.select(matchers)
        return self._index.names(refs[self._present(mint, maxt)[refs]])

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        """See ``storage.interface.Queryable``."""
        refs = self._index.select(matchers)
        return self._index.values(name, refs[self._present(mint, maxt)[refs]])

    def metadata(self, metric: str = "") -> Mapping[str, Metadata]:
        """See ``storage.interface.Queryable``."""
        known = self._metadata
        if not metric:
            return known
        return {metric: known[metric]} if metric in known else {}

    # ------------------------------------------------------------ within

    def _present(self, mint: int, maxt: int) -> npt.NDArray[np.bool_]:
        """Tell for each ref whether a slot, chunk or late sample of it touches the range."""
        slab = self._head.slab.present(mint, maxt)
        late = self._head.lane.view().present(mint, maxt)
        sealed = self._sealed_table().present(mint, maxt)
        refs = np.concatenate([slab, late, sealed])
        mask = np.zeros(max(self._index.size, int(refs.max(initial=0)) + 1), dtype=np.bool_)
        mask[refs] = True
        return mask

    def _sealed_table(self) -> FrameTable:
        chunks = self._head.sealed
        known, table = self._sealed
        if known is not chunks:
            table = FrameTable(chunks)
            self._sealed = (chunks, table)
        return table

    def _check_running(self) -> None:
        if not self._running:
            raise StorageError(f"{self._directory}: the store is not running")


if TYPE_CHECKING:
    _appender: type[Appender] = Tsdb
    _queryable: type[Queryable] = Tsdb
