"""An Appender whose store is elsewhere: samples are queued and sent by remote write, in order.

The queue is bounded; while the far side is away and the queue is full, the oldest samples go, counted.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from threading import Condition, Event, Thread
from typing import Final

import numpy as np
from msgspec import Struct, field
from prometheus_client import CollectorRegistry

from model.errors import DeliveryError, StorageError
from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import Exemplar, Floats, Ints, ScrapeBatch
from storage.interface import Metadata, Refs
from storage.remote.client import RemoteWriteClient
from storage.remote.encode import (
    LayoutEncoder,
    encode_exemplar_series,
    encode_labels,
    encode_metadata,
    encode_samples,
)
from storage.remote.encode_histograms import encode_histogram_series
from storage.remote.metrics import WriterMetrics

log: Final = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS: Final = 0.05
_MAX_BACKOFF_SECONDS: Final = 30.0
_METADATA_SECONDS: Final = 600.0  # sent again, for a store that has forgotten
_IDLE_SECONDS: Final = 86400.0  # a layout that is not used goes


class RemoteTicket:
    """The receipt of an append: ``wait`` is True once the far side has answered that it has the samples."""

    __slots__ = ("_done", "_error")

    def __init__(self) -> None:
        self._done = Event()
        self._error = ""

    def finish(self, error: str = "") -> None:
        """Say what became of the samples."""
        self._error = error
        self._done.set()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """See ``model.samples.Ticket``.

        Raises:
            StorageError: If the samples were refused, or dropped from a full queue.
        """
        if not self._done.wait(timeout_seconds):
            return False
        if self._error:
            raise StorageError(self._error)
        return True


class _Piece(Struct):
    """Encoded samples of one append."""

    data: bytes
    count: int
    ticket: RemoteTicket = field(default_factory=RemoteTicket)


class _Layout(Struct):
    labels: tuple[Labels, ...]
    encoder: LayoutEncoder | None
    used: float


class RemoteAppender:
    """See the module and ``storage.interface.Appender``.

    Args:
        client: Sends the requests.
        registry: For self metrics.
        max_queue_bytes: Most encoded samples that wait.
        max_request_bytes: A request is sent when it is as large as this ...
        batch_wait_seconds: ... or this long after its first samples.
    """

    def __init__(
        self,
        client: RemoteWriteClient,
        registry: CollectorRegistry,
        *,
        max_queue_bytes: int = 64 << 20,
        max_request_bytes: int = 1 << 20,
        batch_wait_seconds: float = 0.2,
    ) -> None:
        self._client = client
        self._metrics = WriterMetrics(registry)
        self._max_queue = max_queue_bytes
        self._max_request = max_request_bytes
        self._batch_wait = batch_wait_seconds
        self._layouts: dict[int, _Layout] = {}
        self._layout_ids: dict[tuple[Labels, ...], int] = {}
        self._refs: dict[Labels, int] = {}
        self._encoded: list[bytes] = []
        self._metadata: dict[str, Metadata] = {}
        self._metadata_due = 0.0
        self._queue: deque[_Piece] = deque()
        self._bytes = 0
        self._pending = 0
        self._next = 0
        self._changed = Condition()
        self._stop = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        if self._thread is None and not self._stop.is_set():
            self._thread = Thread(target=self._run, name="remote-write", daemon=True)
            self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Send what is queued if that works in time, and end; safe twice and before start."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            if self._thread is not None and not self._stop.is_set():
                self._changed.wait_for(
                    lambda: not self._pending, max(deadline - time.monotonic(), 0.0)
                )
            self._stop.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(deadline - time.monotonic(), 0.5))
            self._thread = None
        with self._changed:
            while self._queue:
                self._drop(self._queue.popleft(), "stopped")
        self._client.close()

    # ------------------------------------------------------------ Appender

    def layout(self, labels: Sequence[Labels]) -> int:
        """See ``storage.interface.Appender``."""
        key = tuple(labels)
        with self._changed:
            known = self._layout_ids.get(key)
            if known is not None:
                return known
            now = time.monotonic()
            idle = [i for i, lay in self._layouts.items() if now - lay.used > _IDLE_SECONDS]
            for number in idle:
                del self._layout_ids[self._layouts.pop(number).labels]
            made = self._next
            self._next += 1
            self._layout_ids[key] = made
            self._layouts[made] = _Layout(key, None, now)
            return made

    def append(self, batch: ScrapeBatch) -> RemoteTicket:
        """See ``storage.interface.Appender``.

        Raises:
            StorageError: If the layout is not known.
        """
        with self._changed:
            layout = self._layouts.get(batch.layout_id)
            if layout is None or len(layout.labels) != len(batch.values):
                raise StorageError(f"layout {batch.layout_id} is not known, or of another size")
            if layout.encoder is None:
                layout.encoder = LayoutEncoder(layout.labels)
            layout.used = time.monotonic()
            return self._put(*layout.encoder.encode(batch.ts_ms, batch.values))

    def series(self, labels: Sequence[Labels]) -> Refs:
        """See ``storage.interface.Appender``."""
        with self._changed:
            for one in labels:
                if one not in self._refs:
                    self._refs[one] = len(self._encoded)
                    self._encoded.append(encode_labels(one))
            return np.array([self._refs[one] for one in labels], dtype=np.int64)

    def append_samples(
        self,
        refs: Refs,
        ts_ms: Ints,
        values: Floats,
        *,
        start_ms: Ints | None = None,
        histograms: HistogramColumn | None = None,
    ) -> RemoteTicket:
        """See ``storage.interface.Appender``; start timestamps are not sent, as 1.0 has none."""
        with self._changed:
            labels = [self._encoded[ref] for ref in refs.tolist()]
            data, count = encode_samples(labels, ts_ms, values)
            if histograms is not None:
                rows = np.flatnonzero(histograms.index >= 0).tolist()
                data += b"".join(
                    encode_histogram_series(
                        labels[n], histograms.pool, int(histograms.index[n]), int(ts_ms[n])
                    )
                    for n in rows
                )
                count += len(rows)
            return self._put(data, count)

    def append_exemplars(self, refs: Refs, exemplars: Sequence[Exemplar]) -> RemoteTicket:
        """See ``storage.interface.Appender``; they are sent behind the samples that came before."""
        with self._changed:
            labels = [self._encoded[ref] for ref in refs.tolist()]
            data = b"".join(map(encode_exemplar_series, labels, exemplars))
            return self._put(data, len(exemplars))

    def set_metadata(self, metadata: Mapping[str, Metadata]) -> None:
        """See ``storage.interface.Appender``; goes with the next samples, and again every ten minutes."""
        with self._changed:
            fresh = {n: known for n, known in metadata.items() if self._metadata.get(n) != known}
            if fresh:
                self._metadata.update(fresh)
                self._metadata_due = 0.0

    # ------------------------------------------------------------ the queue

    def _put(self, data: bytes, count: int) -> RemoteTicket:
        """Queue encoded samples; the caller holds the lock."""
        piece = _Piece(data, count)
        if self._stop.is_set():
            self._drop(piece, "stopped")
            return piece.ticket
        if not count:
            piece.ticket.finish()
            return piece.ticket
        while self._queue and self._bytes + len(data) > self._max_queue:
            oldest = self._queue.popleft()
            self._bytes -= len(oldest.data)
            self._settle(oldest.count)
            self._drop(oldest, "queue_full")
        self._queue.append(piece)
        self._bytes += len(data)
        self._settle(-count)
        self._changed.notify_all()
        return piece.ticket

    def _drop(self, piece: _Piece, reason: str) -> None:
        self._metrics.dropped.labels(reason).inc(piece.count)
        piece.ticket.finish(f"the samples were not sent: {reason.replace('_', ' ')}")

    def _settle(self, count: int) -> None:
        self._pending -= count
        self._metrics.pending.set(self._pending)

    def _take(self) -> list[_Piece]:
        """Wait for samples and take those of one request; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stop.is_set())
            self._changed.wait_for(
                lambda: self._bytes >= self._max_request or self._stop.is_set(), self._batch_wait
            )
            taken: list[_Piece] = []
            size = 0
            while self._queue and (
                not taken or size + len(self._queue[0].data) <= self._max_request
            ):
                piece = self._queue.popleft()
                size += len(piece.data)
                taken.append(piece)
            self._bytes -= size
            return taken

    # ------------------------------------------------------------ sending

    def _run(self) -> None:
        while taken := self._take():
            error = "internal error"
            try:
                error = self._send(b"".join([*self._due_metadata(), *(p.data for p in taken)]))
            except Exception:
                log.exception("a remote write request failed")
            count = sum(piece.count for piece in taken)
            if error:
                self._metrics.dropped.labels("stopped" if self._stop.is_set() else "refused").inc(
                    count
                )
            else:
                self._metrics.sent.inc(count)
            for piece in taken:
                piece.ticket.finish(error)
            with self._changed:
                self._settle(count)
                self._changed.notify_all()

    def _due_metadata(self) -> list[bytes]:
        with self._changed:
            now = time.monotonic()
            if not self._metadata or now < self._metadata_due:
                return []
            self._metadata_due = now + _METADATA_SECONDS
            return [encode_metadata(self._metadata)]

    def _send(self, message: bytes) -> str:
        """Send until the far side takes or refuses it; return why it was given up, "" if it was taken."""
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                self._client.post(message)
            except DeliveryError as error:
                self._metrics.up.set(0)
                if not error.retryable:
                    log.warning("remote write: samples are lost: %s", error)
                    return str(error)
                self._metrics.retries.inc()
                if backoff == _FIRST_BACKOFF_SECONDS:
                    log.warning("remote write: %s; trying again", error)
                if self._stop.wait(max(backoff, error.retry_after_seconds or 0.0)):
                    return f"stopped while the remote store was away: {error}"
                backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)
            else:
                self._metrics.up.set(1)
                return ""
