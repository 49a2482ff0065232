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
from storage.remote.client import RefusedError, RemoteWriteClient
from storage.remote.out.metrics import EndpointMetrics

log: Final = logging.getLogger(__name__)

_BAD_REQUEST: Final = 400


class Piece(Struct, frozen=True):
    """Encoded series.

    Attributes:
        data: Fields of a WriteRequest.
        samples: How many samples are in it.
        newest_ms: Time of the newest of them.
        done: Called once it has been sent or given up.
    """

    data: bytes
    samples: int
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
    or samples that it has already, do not cost the others.
    """

    def __init__(
        self, client: RemoteWriteClient, pace: Pace, metrics: EndpointMetrics, stop: Event
    ) -> None:
        self._client = client
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

    def put(self, piece: Piece) -> bool:
        """Queue a piece, waiting for room; False if the end came first."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stop.is_set() or self._samples < self._pace.capacity
            )
            if self._stop.is_set():
                return False
            self._queue.append(piece)
            self._samples += piece.samples
            self._metrics.pending.inc(piece.samples)
            self._changed.notify_all()
            return True

    def close(self, timeout_seconds: float) -> bool:
        """Send what is queued, if that works in time, and end the thread; tell whether it did."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

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
                not taken or size + self._queue[0].samples <= pace.max_samples_per_send
            ):
                taken.append(self._queue.popleft())
                size += taken[-1].samples
            self._samples -= size
            self._metrics.pending.dec(size)
            self._changed.notify_all()
            return taken

    def _send(self, pieces: list[Piece]) -> bool:
        """Send until the far side takes or refuses it; False if the end came first."""
        data = b"".join(piece.data for piece in pieces)
        samples = sum(piece.samples for piece in pieces)
        pause = self._pace.min_backoff
        told = False
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._client.post(data)
            except DeliveryError as error:
                if not error.retryable:
                    return self._refused(pieces, error)
                self._metrics.retried.inc(samples)
                if not told and pause >= 1.0:
                    log.warning("remote write: %s; trying again", error)
                    told = True
                # jitter, so that shards do not come back all at once
                wait = max(pause * random.uniform(0.8, 1.2), error.retry_after_seconds or 0.0)
                self._stop.wait(wait)
                pause = min(pause * 2, self._pace.max_backoff)
            else:
                self._metrics.duration.observe(time.monotonic() - began)
                self._metrics.sent.inc(samples)
                self._metrics.bytes.inc(len(data))
                newest = max((piece.newest_ms for piece in pieces), default=0)
                self._metrics.sent_until(newest)
                return True
        return False

    def _refused(self, pieces: list[Piece], error: DeliveryError) -> bool:
        bad = isinstance(error, RefusedError) and error.status == _BAD_REQUEST
        if bad and len(pieces) > 1:
            middle = len(pieces) // 2
            return self._send(pieces[:middle]) and self._send(pieces[middle:])
        log.warning("remote write: samples are lost: %s", error)
        return self._give_up(pieces, "refused")

    def _give_up(self, pieces: list[Piece], reason: str) -> bool:
        self._metrics.failed.labels(reason).inc(sum(piece.samples for piece in pieces))
        return True
