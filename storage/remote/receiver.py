"""Takes in remote write requests, 1.0 and 2.0, and appends them, as scrapes again where that can be seen."""

import hashlib
from collections.abc import Sequence
from threading import Lock
from typing import Final

import numpy as np
from msgspec import Struct
from prometheus_client import CollectorRegistry

from model.errors import StorageError, UnknownSeriesError
from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import Exemplar, ScrapeBatch, Ticket, no_samples, stale_markers
from storage.interface import Appender, Written
from storage.remote.columns import (
    Columns,
    HistogramRows,
    RawExemplar,
    RemoteWriteError,
    Rows,
)
from storage.remote.decode import Decoder, unpack
from storage.remote.decode_v2 import DecoderV2
from storage.remote.histograms import SpanForms
from storage.remote.metrics import ReceiverMetrics

_MAX_SERIES: Final = 2_000_000
_MAX_TEXTS: Final = 8_000_000
_MAX_RUNS: Final = 100_000
_RUN: Final = 8  # shorter runs are not worth a layout
# Series that come from one thing that is measured agree in these.
_THING: Final = ("job", "instance", "host", "task_id")


class _Run(Struct):
    """Series that came behind each other at one time: what a sender scraped at once.

    Attributes:
        first: Number of the request in which it was seen first.
        last: Number of the request in which it was seen last.
        layout_id: Its layout; None as long as it has none.
    """

    first: int
    last: int
    layout_id: int | None = None


class RemoteWriteReceiver:
    """Takes in requests; from any thread.

    Samples of one thing at one time were one scrape at the sender's. When the same run of series
    comes a second time it becomes a layout, so that the store keeps it as it keeps its own scrapes.
    A series is in one run's layout at most, until that run has stopped coming.

    Args:
        appender: Where samples go.
        registry: For self metrics.
    """

    def __init__(self, appender: Appender, registry: CollectorRegistry) -> None:
        self._appender = appender
        self._metrics = ReceiverMetrics(registry)
        self._lock = Lock()
        self._labels: list[Labels] = []
        forms = SpanForms()
        self._v1 = Decoder(self._labels, forms)
        self._v2 = DecoderV2(self._labels, forms)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._labels.clear()
        self._v1.forget()
        self._v2.forget()
        self._refs = np.empty(0, dtype=np.int64)
        self._things = np.empty(0, dtype=np.int64)
        self._thing_numbers: dict[tuple[str, ...], int] = {}
        self._owners = np.empty(0, dtype=np.int64)
        self._runs: dict[bytes, _Run] = {}
        self._layouts: list[_Run] = []
        self._requests = 0

    def ingest(self, body: bytes, version: int = 1, timeout_seconds: float = 30.0) -> Written:
        """Store a request and say how much it was once it survives ``kill -9``.

        Series and histograms that are wrong are left out; the rest is stored before the error is raised.

        Args:
            body: As it came, compressed.
            version: Of the protocol, 1 or 2.
            timeout_seconds: How long the store may take.

        Raises:
            RemoteWriteError: If the request, or something in it, is wrong.
            StorageError: If the store cannot take it now; the sender should try again.
        """
        try:
            data = unpack(body)
            with self._lock:
                try:
                    found, tickets = self._take(data, version)
                except UnknownSeriesError:  # unused for so long that the store forgot them
                    self._begin_anew()
                    found, tickets = self._take(data, version)
        except RemoteWriteError:
            self._metrics.rejected.inc()
            raise
        if found.metadata:
            self._appender.set_metadata(found.metadata)
        for ticket in tickets:
            if not ticket.wait(timeout_seconds):
                raise StorageError(f"the samples were not stored within {timeout_seconds:g} s")
        histograms = 0 if found.histograms is None else len(found.histograms.rows)
        written = Written(len(found.rows), histograms, len(found.exemplars))
        self._metrics.received.inc(written.samples + written.histograms)
        if found.faults:
            self._metrics.rejected.inc()
            first, number = found.faults[0], len(found.faults)
            raise RemoteWriteError(
                f"{number} series are not valid, the first: {first}", written, number
            )
        return written

    def _take(self, data: bytes, version: int) -> tuple[Columns, list[Ticket]]:
        self._requests += 1
        if len(self._labels) > _MAX_SERIES or self._v2.size > _MAX_TEXTS:
            self._begin_anew()  # the store still knows every series by its labels
        decoder = self._v1 if version == 1 else self._v2
        try:
            found = decoder.decode(data)
        finally:
            self._learn(self._labels[len(self._refs) :])
        tickets = []
        loose = np.ones(len(found.rows), dtype=np.bool_)
        for start, stop in self._split(found):
            layout_id = self._layout(found.rows[start:stop])
            if layout_id is not None:
                batch = ScrapeBatch(layout_id, int(found.ts_ms[start]), found.values[start:stop])
                tickets.append(self._appender.append(batch))
                loose[start:stop] = False
        if loose.any():
            starts = None if found.start_ms is None else found.start_ms[loose]
            tickets.append(
                self._appender.append_samples(
                    self._refs[found.rows[loose]],
                    found.ts_ms[loose],
                    found.values[loose],
                    start_ms=starts,
                )
            )
        if found.histograms is not None:
            tickets.append(self._append_histograms(found.histograms))
        if found.exemplars:
            tickets.append(self._append_exemplars(found.exemplars))
        return found, tickets

    def _append_histograms(self, found: HistogramRows) -> Ticket:
        index = np.where(found.stale, -1, np.arange(len(found.rows), dtype=np.int32))
        values = no_samples(len(found.rows))
        values[found.stale] = stale_markers(int(found.stale.sum()))
        return self._appender.append_samples(
            self._refs[found.rows],
            found.ts_ms,
            values,
            start_ms=found.start_ms if found.start_ms.any() else None,
            histograms=HistogramColumn(index.astype(np.int32), found.pool),
        )

    def _append_exemplars(self, found: list[RawExemplar]) -> Ticket:
        ordered = sorted(found, key=lambda one: one.ts_ms)
        return self._appender.append_exemplars(
            self._refs[[one.row for one in ordered]],
            [Exemplar(Labels.of(one.pairs), one.value, one.ts_ms) for one in ordered],
        )

    def _learn(self, labels: Sequence[Labels]) -> None:
        """Give new series their place in the store and in our columns."""
        if not labels:
            return
        try:
            refs = self._appender.series(labels)
        except StorageError:
            self._begin_anew()  # what the decoder has numbered has no place
            raise
        numbers = self._thing_numbers
        things = [
            numbers.setdefault(tuple(one.get(name) for name in _THING), len(numbers))
            for one in labels
        ]
        self._refs = np.concatenate([self._refs, refs])
        self._things = np.concatenate([self._things, np.array(things, dtype=np.int64)])
        self._owners = np.concatenate([self._owners, np.full(len(refs), -1, dtype=np.int64)])

    def _split(self, found: Columns) -> list[tuple[int, int]]:
        """Return (start, stop) of the runs of one thing at one time that are long enough."""
        if not len(found.rows) or found.start_ms is not None:
            return []  # a scrape has no start timestamps
        edges = np.diff(found.ts_ms) != 0
        edges |= np.diff(self._things[found.rows]) != 0
        places = np.flatnonzero(edges) + 1
        starts = np.concatenate([[0], places])
        stops = np.concatenate([places, [len(found.rows)]])
        long = stops - starts >= _RUN
        return list(zip(starts[long].tolist(), stops[long].tolist(), strict=True))

    def _layout(self, rows: Rows) -> int | None:
        """Return the layout of a run, None if it has none (yet)."""
        key = hashlib.blake2b(rows.tobytes(), digest_size=16).digest()
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) >= _MAX_RUNS:
                self._runs = {k: r for k, r in self._runs.items() if r.layout_id is not None}
            self._runs[key] = _Run(self._requests, self._requests)
            return None
        run.last = self._requests
        if run.layout_id is None and self._may_own(run, rows):
            run.layout_id = self._appender.layout([self._labels[row] for row in rows.tolist()])
            self._owners[rows] = len(self._layouts)
            self._layouts.append(run)
        return run.layout_id

    def _may_own(self, run: _Run, rows: Rows) -> bool:
        """Tell whether none of the series belongs to a run that has come since this one first did."""
        numbers = set(self._owners[rows].tolist()) - {-1}
        owners = [self._layouts[n] for n in numbers if self._layouts[n].layout_id is not None]
        if len(np.unique(rows)) < len(rows) or any(o.last >= run.first for o in owners):
            return False
        for owner in owners:
            owner.layout_id = None
            owner.first = self._requests
        return True
