"""Takes in remote write requests and appends them, as scrapes again where that can be seen."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from model.errors import StorageError
from model.labels import Labels
from model.samples import Ints, ScrapeBatch, Ticket
from storage.interface import Appender
from storage.remote.decode import Columns, Decoder, RemoteWriteError, unpack
from storage.remote.metrics import ReceiverMetrics

_MAX_SERIES: Final = 2_000_000
_MAX_RUNS: Final = 100_000
_RUN: Final = 8  # shorter runs are not worth a layout
# Series that come from one thing that is measured agree in these.
_THING: Final = ("job", "instance", "host", "task_id")

Rows = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Run:
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
        self._decoder = Decoder()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._decoder.forget()
        self._refs = np.empty(0, dtype=np.int64)
        self._things = np.empty(0, dtype=np.int64)
        self._thing_numbers: dict[tuple[str, ...], int] = {}
        self._owners = np.empty(0, dtype=np.int64)
        self._runs: dict[bytes, _Run] = {}
        self._layouts: list[_Run] = []
        self._requests = 0

    def ingest(self, body: bytes, timeout_seconds: float = 30.0) -> int:
        """Store a request's samples and return their number once they survive ``kill -9``.

        Series that are wrong (no name, a label twice, not UTF-8) and native histograms are left
        out; the other samples are stored before the error is raised.

        Raises:
            RemoteWriteError: If the request, or some series in it, is wrong.
            StorageError: If the store cannot take it now; the sender should try again.
        """
        try:
            data = unpack(body)
            with self._lock:
                found, tickets = self._take(data)
        except RemoteWriteError:
            self._metrics.rejected.inc()
            raise
        if found.metadata:
            self._appender.set_metadata(found.metadata)
        for ticket in tickets:
            if not ticket.wait(timeout_seconds):
                raise StorageError(f"the samples were not stored within {timeout_seconds:g} s")
        self._metrics.received.inc(len(found.rows))
        if found.bad_series:
            self._metrics.rejected.inc()
            raise RemoteWriteError(
                f"{found.bad_series} series are not valid, the first: {found.first_bad}"
            )
        return len(found.rows)

    def _take(self, data: bytes) -> tuple[Columns, list[Ticket]]:
        self._requests += 1
        if len(self._decoder.labels) > _MAX_SERIES:
            self._begin_anew()  # the store still knows every series by its labels
        try:
            found = self._decoder.decode(data)
        finally:
            self._learn(self._decoder.labels[len(self._refs) :])
        rows = np.array(found.rows, dtype=np.int64)
        tickets = []
        loose = np.ones(len(rows), dtype=np.bool_)
        for start, stop in self._split(rows, found.ts_ms):
            layout_id = self._layout(rows[start:stop])
            if layout_id is not None:
                batch = ScrapeBatch(layout_id, int(found.ts_ms[start]), found.values[start:stop])
                tickets.append(self._appender.append(batch))
                loose[start:stop] = False
        if loose.any():
            tickets.append(
                self._appender.append_samples(
                    self._refs[rows[loose]], found.ts_ms[loose], found.values[loose]
                )
            )
        return found, tickets

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

    def _split(self, rows: Rows, ts_ms: Ints) -> list[tuple[int, int]]:
        """Return (start, stop) of the runs of one thing at one time that are long enough."""
        if not len(rows):
            return []
        edges = np.flatnonzero((np.diff(ts_ms) != 0) | (np.diff(self._things[rows]) != 0)) + 1
        starts = np.concatenate([[0], edges])
        stops = np.concatenate([edges, [len(rows)]])
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
            run.layout_id = self._appender.layout(
                [self._decoder.labels[row] for row in rows.tolist()]
            )
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
