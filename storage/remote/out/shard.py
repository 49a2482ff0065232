"""One thread with a connection of its own that sends what it is given, in order."""

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Final

from msgspec import Struct

from model.errors import DeliveryError
from storage.interface import Written
from storage.remote.client import RefusedError, RemoteWriteClient
from storage.remote.out.format import Counts, Format, summed
from storage.remote.out.metrics import EndpointMetrics
from storage.remote.out.plan import Flow

log: Final = logging.getLogger(__name__)

_BAD_REQUEST: Final = 400


class Piece(Struct, frozen=True):
    """Encoded series.

    Attributes:
        content: What the format joins.
        counts: What is in it.
        newest_ms: Time of the newest sample.
        done: Called once it has been sent or given up.
    """

    content: object
    counts: Counts
    newest_ms: int
    done: Callable[[], None]


class Pace(Struct, frozen=True):
    """How requests are made; Prometheus's ``queue_config``.

    Attributes:
        capacity: Samples that wait in one shard at most.
        max_samples_per_send: Most samples of one request.
        batch_send_deadline: Seconds after which a smaller one goes, too.
        min_backoff: First pause before another try, in seconds; doubled each time ...
        max_backoff: ... up to this.
    """

    capacity: int = 10_000
    max_samples_per_send: int = 2_000
    batch_send_deadline: float = 5.0
    min_backoff: float = 0.03
    max_backoff: float = 5.0


class Shard:
    """See the module.

    A request that the far side finds bad (400) is sent again in halves, so that one bad series,
    or samples that it has already, do not cost the others; unless it says how much it has stored.
    """

    def __init__(
        self,
        client: RemoteWriteClient,
        form: Format,
        pace: Pace,
        metrics: EndpointMetrics,
        flow: Flow,
        stop: Event,
    ) -> None:
        self._client = client
        self._format = form
        self._flow = flow
        self._pace = pace
        self._metrics = metrics
        self._stop = stop
        self._queue: deque[Piece] = deque()
        self._samples = 0
        self._busy = False
        self._closing = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="remote-write-shard", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How much waits to be sent."""
        return self._samples

    def put(self, piece: Piece) -> bool:
        """Queue a piece, waiting for room; False if the end came first."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stop.is_set() or self._samples < self._pace.capacity
            )
            if self._stop.is_set():
                return False
            self._queue.append(piece)
            self._samples += piece.counts.total
            self._metrics.waiting(piece.counts)
            self._changed.notify_all()
            return True

    def close(self, timeout_seconds: float) -> bool:
        """Send what is queued, if that works in time, and end the thread; tell whether it did."""
        self.finish()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def finish(self) -> None:
        """Send what is queued and end then; do not wait for it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Look at the stop sign now."""
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while pieces := self._take():
                try:
                    settled = self._send(pieces)
                except Exception:  # the thread must live, or its queue would never be emptied
                    log.exception("a remote write request failed")
                    settled = self._give_up(pieces, "internal")
                for piece in pieces if settled else ():
                    piece.done()
        finally:
            self._client.close()

    def _take(self) -> list[Piece]:
        """Wait for the pieces of one request; empty at the end."""
        pace = self._pace

        def full() -> bool:
            return self._samples >= pace.max_samples_per_send or self._closing

        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing or self._stop.is_set())
            self._changed.wait_for(lambda: full() or self._stop.is_set(), pace.batch_send_deadline)
            if self._stop.is_set():
                return []
            taken: list[Piece] = []
            size = 0
            while self._queue and (
                not taken or size + self._queue[0].counts.total <= pace.max_samples_per_send
            ):
                taken.append(self._queue.popleft())
                size += taken[-1].counts.total
            self._samples -= size
            self._metrics.taken(summed([piece.counts for piece in taken]))
            self._changed.notify_all()
            return taken

    def _send(self, pieces: list[Piece]) -> bool:
        """Send until the far side takes or refuses it; False if the end came first."""
        began = self._flow.monotonic()
        data = self._format.join([piece.content for piece in pieces])
        counts = summed([piece.counts for piece in pieces])
        pause = self._pace.min_backoff
        told = False
        while not self._stop.is_set():
            tried = time.monotonic()
            try:
                written = self._client.post(data)
            except DeliveryError as error:
                if not error.retryable:
                    self._flow.done(counts.total, self._flow.monotonic() - began, taken=False)
                    return self._refused(pieces, counts, error)
                self._metrics.retried(counts)
                if not told and pause >= 1.0:
                    log.warning("remote write: %s; trying again", error)
                    told = True
                # jitter, so that shards do not come back all at once
                wait = max(pause * random.uniform(0.8, 1.2), error.retry_after_seconds or 0.0)
                self._stop.wait(wait)
                pause = min(pause * 2, self._pace.max_backoff)
            else:
                self._metrics.duration.observe(time.monotonic() - tried)
                self._flow.done(counts.total, self._flow.monotonic() - began, taken=True)
                self._metrics.bytes.inc(len(data))
                newest = max((piece.newest_ms for piece in pieces), default=0)
                return self._stored(counts, written, newest)
        return False

    def _stored(self, counts: Counts, written: Written | None, newest_ms: int) -> bool:
        if self._format.version != 1 and counts.total:
            stored = _at_most(written, counts)
            if not any(stored[:3]):
                log.error(
                    "remote write: a request of 2.0 was answered with success, but without a word of "
                    "what was written; taken for lost. The remote store may know 1.0 only: set "
                    "protobuf_message to prometheus.WriteRequest"
                )
                self._metrics.failed(counts, "unconfirmed")
                return True
            self._metrics.sent(stored)
            self._metrics.failed(_less(counts, stored), "unconfirmed")
        else:
            self._metrics.sent(counts)
        self._metrics.sent_until(newest_ms)
        return True

    def _refused(self, pieces: list[Piece], counts: Counts, error: DeliveryError) -> bool:
        bad = isinstance(error, RefusedError) and error.status == _BAD_REQUEST
        written = error.written if isinstance(error, RefusedError) else None
        if bad and written is None and len(pieces) > 1:
            middle = len(pieces) // 2
            return self._send(pieces[:middle]) and self._send(pieces[middle:])
        log.warning("remote write: samples are lost: %s", error)
        stored = _at_most(written, counts)
        self._metrics.sent(stored)
        self._metrics.failed(_less(counts, stored), "refused")
        return True

    def _give_up(self, pieces: list[Piece], reason: str) -> bool:
        self._metrics.failed(summed([piece.counts for piece in pieces]), reason)
        return True


def _at_most(written: Written | None, counts: Counts) -> Counts:
    """Return what was stored as counts; a far side cannot store more than was sent."""
    if written is None:
        return Counts()
    said = (written.samples, written.histograms, written.exemplars)
    return Counts(*map(min, said, counts[:3]))


def _less(counts: Counts, stored: Counts) -> Counts:
    return Counts(*(a - b for a, b in zip(counts, stored, strict=True)))
