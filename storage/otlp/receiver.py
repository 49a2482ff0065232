"""Takes in OTLP requests and appends what they hold."""

from threading import Lock
from typing import Final

import numpy as np
import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import declared
from model.errors import StorageError, UnknownSeriesError
from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import Ints, Ticket, no_samples
from storage.interface import Appender, BadWriteError, Refs
from storage.otlp.delta import DeltaSums
from storage.otlp.gather import Columns, plan
from storage.otlp.histograms import Exponential, pool_of
from storage.otlp.known import Known
from storage.otlp.messages import decode_json, decode_protobuf
from storage.otlp.skeleton import Skeletons
from storage.otlp.translate import Translated, Translator, tell_target
from storage.otlp.walk import UnusualError, Walker
from storage.remote.wire import WireError, delimited, varint

_MAX_KNOWN: Final = 2_000_000
_MAX_REASONS: Final = 5


class OtlpReceiver:
    """Takes in metrics; from any thread.

    Args:
        appender: Where samples go.
        registry: For self metrics.
        max_delta_streams: Most delta streams whose sums are kept.
    """

    def __init__(
        self, appender: Appender, registry: CollectorRegistry, *, max_delta_streams: int = 100_000
    ) -> None:
        self._appender = appender
        self._sums = DeltaSums(max_delta_streams)
        self._translator = Translator(self._sums)
        self._refs: dict[Labels, int] = {}
        self._known_points = Known()
        self._walker = Walker(self._known_points)
        self._skeletons = Skeletons()
        self._numbered: Refs = np.empty(0, dtype=np.int64)
        self._lock = Lock()
        self._received = Counter(
            *declared("taskscope_otlp_received_points_total"), registry=registry
        )
        self._rejected = Counter(
            *declared("taskscope_otlp_rejected_points_total"), registry=registry
        )
        self._streams = Gauge(*declared("taskscope_otlp_delta_streams"), registry=registry)

    def ingest(self, body: bytes, as_json: bool = False, timeout_seconds: float = 30.0) -> bytes:
        """Store an ExportMetricsServiceRequest and return the response once it survives ``kill -9``.

        Points that are wrong are left out; the response says how many, and why.

        Args:
            body: Uncompressed.
            as_json: Whether request and response are JSON instead of protobuf.
            timeout_seconds: How long the store may take.

        Raises:
            BadWriteError: If it is no such request.
            StorageError: If the store cannot take it now; the sender should try again.
        """
        try:
            with self._lock:
                found, columns = self._decode(body, as_json=as_json)
                if found.metadata:
                    self._appender.set_metadata(found.metadata)
                try:
                    tickets = self._append(found, columns)
                except UnknownSeriesError:  # unused for so long that the store forgot them
                    self._refs.clear()
                    self._numbered = np.empty(0, dtype=np.int64)
                    tickets = self._append(found, columns)
        except WireError as error:
            self._rejected.labels("request").inc()
            raise BadWriteError(f"the request is not OTLP: {error}") from error
        self._streams.set(self._sums.size)
        for ticket in tickets:
            if not ticket.wait(timeout_seconds):
                raise StorageError(f"the samples were not stored within {timeout_seconds:g} s")
        for kind, number in found.points.items():
            self._received.labels(kind).inc(number)
        if found.rejected:
            self._rejected.labels("point").inc(found.rejected)
        return _response(found, as_json=as_json)

    def _decode(self, body: bytes, *, as_json: bool) -> tuple[Translated, Columns | None]:
        """Return what has to be appended one by one, and what are columns already."""
        if as_json:
            return self._translator.translate(decode_json(body)), None
        if len(self._known_points.labels) > _MAX_KNOWN:
            self._begin_anew()
        known = self._skeletons.read(body)
        if known is not None:
            walked, columns = known
        else:
            try:
                walked = self._walker.walk(body)
            except UnusualError:
                return self._translator.translate(decode_protobuf(body)), None
            columns = None
            planned = plan(body, walked)
            if planned is not None:
                columns = planned.read(body)
                self._skeletons.remember(body, walked, planned)
        found = Translated(points=dict(walked.points))
        for number, part in enumerate(walked.parts):
            before = len(found.rows)
            for metric in part.slow:
                self._translator.metric(metric, part.resource, found)
            times = [row.ts_ms for row in found.rows[before:]]
            if columns is not None:
                times += _ends(columns.ts_ms[columns.parts == number])
            tell_target(part.resource, found, times)
        found.metadata |= self._known_points.metadata
        self._known_points.metadata = {}
        return found, columns

    def _begin_anew(self) -> None:
        self._known_points.forget()
        self._skeletons.forget()
        self._numbered = np.empty(0, dtype=np.int64)

    def _append(self, found: Translated, columns: Columns | None) -> list[Ticket]:
        tickets = []
        if columns is not None:
            self._number()
            tickets.append(
                self._appender.append_samples(
                    self._numbered[columns.rows],
                    columns.ts_ms,
                    columns.values,
                    start_ms=columns.start_ms if columns.start_ms.any() else None,
                )
            )
        return tickets + self._append_rows(found)

    def _number(self) -> None:
        """Get the store's references of series that are new."""
        labels = self._known_points.labels[len(self._numbered) :]
        if not labels:
            return
        try:
            refs = self._appender.series(labels)
        except StorageError:
            self._begin_anew()
            raise
        self._numbered = np.concatenate([self._numbered, refs])

    def _append_rows(self, found: Translated) -> list[Ticket]:
        rows = found.rows
        if not rows:
            return []
        refs = self._known([row.labels for row in rows])
        values = no_samples(len(rows))
        index = np.full(len(rows), -1, dtype=np.int32)
        histograms: list[Exponential] = []
        for n, row in enumerate(rows):
            if isinstance(row.value, Exponential):
                index[n] = len(histograms)
                histograms.append(row.value)
            else:
                values[n : n + 1] = np.array([row.value])  # a stale marker keeps its bits
        starts = np.array([row.start_ms for row in rows], dtype=np.int64)
        tickets = [
            self._appender.append_samples(
                refs,
                np.array([row.ts_ms for row in rows], dtype=np.int64),
                values,
                start_ms=starts if starts.any() else None,
                histograms=HistogramColumn(index, pool_of(histograms)) if histograms else None,
            )
        ]
        if found.exemplars:
            ordered = sorted(found.exemplars, key=lambda one: one[1].ts_ms)
            places = self._known([labels for labels, _ in ordered])
            tickets.append(self._appender.append_exemplars(places, [one for _, one in ordered]))
        return tickets

    def _known(self, labels: list[Labels]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the store's references."""
        known = self._refs
        if len(known) > _MAX_KNOWN:
            known.clear()
        fresh = list(dict.fromkeys(one for one in labels if one not in known))
        if fresh:
            known.update(zip(fresh, self._appender.series(fresh).tolist(), strict=True))
        return np.array([known[one] for one in labels], dtype=np.int64)


def _ends(times: Ints) -> list[int]:
    return [int(times.min()), int(times.max())] if len(times) else []


def _response(found: Translated, *, as_json: bool) -> bytes:
    """Return an ExportMetricsServiceResponse."""
    if not found.rejected:
        return b"{}" if as_json else b""
    said = "; ".join(dict.fromkeys(found.reasons[: 20 * _MAX_REASONS]))[:1000]
    if as_json:
        partial = {"rejectedDataPoints": str(found.rejected), "errorMessage": said}
        return orjson.dumps({"partialSuccess": partial})
    partial_bytes = b"\x08" + varint(found.rejected) + delimited(0x12, said.encode())
    return delimited(0x0A, partial_bytes)
