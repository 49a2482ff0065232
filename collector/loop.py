"""The loop that asks every source once an interval and appends what it gives.

Each block is one layout of the store; a block with the same labels tuple as last time costs one
append. Series that are gone since get a stale marker at once.
"""

import logging
import time
from collections.abc import Mapping
from threading import Event, Thread

import numpy as np
from msgspec import Struct

from collector.metrics import CollectorMetrics
from model.clock import Clock, now_ms
from model.errors import StorageError, UnknownSeriesError
from model.labels import Labels
from model.samples import (
    NO_SAMPLE_BITS,
    Bools,
    Floats,
    ScrapeBatch,
    SeriesBlock,
    SeriesSource,
    is_no_sample,
    stale_markers,
)
from storage.interface import Appender

_log = logging.getLogger(__name__)


class _Known(Struct):
    """A block as it was last appended; ``labels`` is held so that its ``id()`` stays taken."""

    labels: tuple[Labels, ...]
    layout_id: int
    absent: Bools


class CollectionLoop:
    """Appends the series of all sources every interval, on a thread of its own.

    Args:
        sources: By name, in the order they are asked.
        appender: Where the samples go.
        clock: Times the samples.
        metrics: What is counted.
        interval_seconds: From one collection to the next.
    """

    def __init__(
        self,
        sources: Mapping[str, SeriesSource],
        appender: Appender,
        clock: Clock,
        metrics: CollectorMetrics,
        interval_seconds: float = 15.0,
    ) -> None:
        self._sources = dict(sources)
        self._appender = appender
        self._clock = clock
        self._metrics = metrics
        self._interval = interval_seconds
        self._known: dict[str, dict[str, _Known]] = {name: {} for name in sources}
        self._stop = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to collect; the first collection is made at once."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="collector", daemon=True)
            self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop after the collection under way; safe twice and before start.

        As with Prometheus, stopping writes no stale markers: a restart leaves a gap, not an end.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None

    def collect(self) -> None:
        """Ask every source once and append; never raises."""
        at_ms = now_ms(self._clock)
        for name, source in self._sources.items():
            wall, cpu = self._clock.monotonic(), time.thread_time()
            try:
                series = self._collect(name, source, at_ms)
            except Exception:
                _log.exception("a source of series failed", extra={"source": name})
                self._metrics.errors.labels(name, "failed").inc()
                continue
            self._metrics.series.labels(name).set(series)
            self._metrics.duration.labels(name).set(self._clock.monotonic() - wall)
            self._metrics.cpu.labels(name).inc(time.thread_time() - cpu)

    def _run(self) -> None:
        due = self._clock.monotonic()
        while not self._stop.is_set():
            self.collect()
            due += self._interval
            late = self._clock.monotonic() - due
            if late > 0:
                missed = int(late // self._interval) + 1
                self._metrics.missed.inc(missed)
                due += missed * self._interval
            self._stop.wait(max(due - self._clock.monotonic(), 0.0))

    def _collect(self, name: str, source: SeriesSource, at_ms: int) -> int:
        known = self._known[name]
        seen = set()
        series = 0
        for block in source.collect(at_ms):
            if block.key in seen:
                self._metrics.errors.labels(name, "duplicate_key").inc()
                continue
            seen.add(block.key)
            series += len(block.labels)
            self._append_block(name, known, block, at_ms)
        for key in known.keys() - seen:
            gone = known.pop(key)
            self._append(name, ScrapeBatch(gone.layout_id, at_ms, _stale(gone.absent)))
        return series

    def _append_block(
        self, name: str, known: dict[str, _Known], block: SeriesBlock, at_ms: int
    ) -> None:
        before = known.get(block.key)
        values, absent = block.values, is_no_sample(block.values)
        try:
            if before is None or before.labels is not block.labels:
                layout_id = self._appender.layout(block.labels)
                if before is not None:
                    self._mark_gone(before, block.labels, at_ms)
                known[block.key] = _Known(block.labels, layout_id, absent)
            else:
                layout_id = before.layout_id
                ended = absent & ~before.absent
                if ended.any():  # was there last time, is not now
                    values = values.copy()
                    values[ended] = stale_markers(int(ended.sum()))
                before.absent = absent
        except StorageError as error:
            self._refused(name, error)
            return
        if not self._append(name, ScrapeBatch(layout_id, at_ms, values)):
            del known[block.key]  # the next round registers its series again

    def _mark_gone(self, before: _Known, now: tuple[Labels, ...], at_ms: int) -> None:
        gone = sorted(set(before.labels) - set(now))
        if gone:
            refs = self._appender.series(gone)
            times = np.full(len(gone), at_ms, dtype=np.int64)
            self._appender.append_samples(refs, times, stale_markers(len(gone)))

    def _append(self, name: str, batch: ScrapeBatch) -> bool:
        """Append; False if the store does not know the layout any more."""
        try:
            self._appender.append(batch)
        except StorageError as error:
            self._refused(name, error)
            return not isinstance(error, UnknownSeriesError)
        self._metrics.samples.labels(name).inc(len(batch.values))
        return True

    def _refused(self, name: str, error: StorageError) -> None:
        self._metrics.append_failures.labels(name).inc()
        _log.warning("the store refused samples: %s", error, extra={"source": name})


def _stale(absent: Bools) -> Floats:
    """Return stale markers for what was there, nothing for what was not."""
    values = stale_markers(len(absent))
    values.view(np.int64)[absent] = NO_SAMPLE_BITS
    return values
