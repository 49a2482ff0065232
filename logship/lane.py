"""The way to one sink: a bounded buffer, and a thread that delivers and never gives up.

Each sink has its own positions in every source. One that is slow or down fills its own buffer;
then nothing more is read for it (the files are the buffer), while the others go on.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from logship.deadletter import DeadLetters
from logship.metrics import LogshipMetrics
from logship.sink.base import Sink
from logship.source.chunk import Chunk
from model.clock import Clock
from model.errors import DeliveryError
from model.log import Delivery, LogBatch
from storage.failpoint import reach

_LOG: Final = logging.getLogger(__name__)

REQUEST_BYTES: Final = 1 << 20
BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_MAX_SECONDS: Final = 30.0
REFUSED_SECONDS: Final = 30.0  # a wrong password is tried again this often


class SinkStatus(Struct, frozen=True):
    """How a sink is doing, for people."""

    name: str
    ok: bool
    message: str


class Lane:
    """Takes chunks for one sink and moves their sources' positions once they are there."""

    def __init__(
        self,
        sink: Sink,
        dead_letters: DeadLetters,
        metrics: LogshipMetrics,
        clock: Clock,
        *,
        buffer_bytes: int,
        timeout_seconds: float,
        on_delivered: Callable[[], None],
    ) -> None:
        self.name = sink.name
        self._sink = sink
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._buffered = metrics.buffer_bytes.labels(self.name)
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._timeout_seconds = timeout_seconds
        self._on_delivered = on_delivered
        self._chunks: deque[Chunk] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._abandon = threading.Event()
        self._thread: threading.Thread | None = None
        self._status = SinkStatus(sink.name, ok=True, message="nothing sent yet")

    @property
    def has_room(self) -> bool:
        """Whether another chunk may come."""
        return self._queued < self._buffer_bytes

    @property
    def status(self) -> SinkStatus:
        """How the last delivery went."""
        return self._status

    def put(self, chunk: Chunk) -> None:
        """Take a chunk; the reader asks ``has_room`` first, and says ``go`` when it has no more for now."""
        with self._changed:
            self._chunks.append(chunk)
            self._queued += chunk.size
            reach("buffer.put")
            if self._queued >= REQUEST_BYTES:
                self._changed.notify_all()

    def go(self) -> None:
        """Deliver what was put: many small chunks are one delivery, and one waking."""
        with self._changed:
            if not self._chunks:
                return
            self._changed.notify_all()
        self._buffered.set(self._queued)

    def start(self) -> None:
        """Start delivering."""
        self._thread = threading.Thread(target=self._run, name=f"logship-{self.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Deliver what is buffered within the time, then let go; safe twice and before start."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._abandon.set()
            self._thread.join(
                1.0
            )  # what hangs in a request is a daemon, and nothing of it is acknowledged
        self._sink.close()

    def _run(self) -> None:
        self._check()
        while not self._abandon.is_set():
            chunks = self._next()
            if chunks is None:
                return
            if not chunks:
                self._check()
                continue
            try:
                delivered = self._deliver(chunks)
            except Exception as error:
                self._metrics.errors.labels("lane", type(error).__name__).inc()
                self._say(ok=False, message=f"{self.name}: {type(error).__name__}: {error}")
                self._abandon.wait(BACKOFF_MAX_SECONDS / 10)
                with self._changed:  # nothing is lost: the same chunks come again
                    self._chunks.extendleft(reversed(chunks))
                continue
            if not delivered:
                return
            reach("buffer.delivered")
            for chunk in chunks:
                chunk.source.acked[self.name] = chunk.end
            with self._changed:
                self._queued -= sum(chunk.size for chunk in chunks)
            self._buffered.set(self._queued)
            reach("buffer.released")
            self._on_delivered()

    def _next(self) -> list[Chunk] | None:
        """Wait for chunks, as many as make one request; None at the end.

        None come back where nothing is to be sent to a sink that was away: it is asked again.
        """
        with self._changed:
            waited = 0.0
            while not self._chunks:
                if self._stopping.is_set():
                    return None
                if not self._status.ok and waited >= REFUSED_SECONDS:
                    return []
                self._changed.wait(1.0)
                waited += 1.0
            chunks = [self._chunks.popleft()]
            size = chunks[0].size
            while self._chunks and size + self._chunks[0].size <= REQUEST_BYTES:
                chunks.append(self._chunks.popleft())
                size += chunks[-1].size
            reach("buffer.taken")
            return chunks

    def _check(self) -> None:
        """Say how the sink is before there is anything to send to it."""
        try:
            self._sink.check(self._timeout_seconds)
        except Exception as error:
            self._say(ok=False, message=str(error))
        else:
            if not self._status.ok:
                self._say(ok=True, message="there")

    def _deliver(self, chunks: Sequence[Chunk]) -> bool:
        """Send until every record is there or a dead letter; False if stopped before."""
        pending = [batch for chunk in chunks for batch in chunk.batches if len(batch)]
        attempt = 0
        while pending:
            attempt += 1
            pause: float | None = None
            last = self._stopping.is_set()
            try:
                deliveries = self._sink.write(pending, self._timeout_seconds)
            except DeliveryError as error:
                self._metrics.errors.labels("sink", "DeliveryError").inc()
                self._say(ok=False, message=str(error))
                pause = _pause(attempt, error)
            else:
                left = self._sort(pending, deliveries, attempt)
                if left:
                    self._metrics.errors.labels("sink", "retryable").inc()
                    pause = _pause(attempt, None)
                else:
                    self._say(ok=True, message="delivering")
                pending = left
            if pause is None:
                continue
            if last or self._abandon.is_set():  # the lines wait in their files
                return False
            self._stopping.wait(pause)  # then one more try
        return True

    def _sort(self, batches: Sequence[LogBatch], deliveries: Sequence[Delivery], attempt: int) -> list[LogBatch]:  # fmt: skip
        """Count what arrived, put away what never will, and return what must be sent again."""
        left = []
        for batch, delivery in zip(batches, deliveries, strict=True):
            status = delivery.status
            good = int(np.count_nonzero((status == 201) | (status == 409)))
            if good:
                self._metrics.sent.labels(self.name).inc(good)
            if good == len(batch):
                continue
            again = delivery.retryable
            if len(again):
                left.append(batch.take(again))
                why = delivery.reasons.get(int(again[0]), f"status {status[again[0]]}")
                self._say(ok=False, message=f"{self.name} wants records later: {why}")
            refused = np.flatnonzero(status == 400)
            if len(refused):
                self._bury(batch.take(refused), {n: delivery.reasons.get(int(row), "") for n, row in enumerate(refused.tolist())}, attempt)  # fmt: skip
        return left

    def _bury(self, batch: LogBatch, reasons: dict[int, str], attempt: int) -> None:
        self._metrics.dropped.labels("refused").inc(len(batch))
        try:
            self._dead_letters.put(batch, reasons, attempts=attempt, at_ns=self._clock.now_ns())
        except OSError as error:
            self._metrics.errors.labels("dead_letters", type(error).__name__).inc()

    def _say(self, *, ok: bool, message: str) -> None:
        if ok != self._status.ok:
            if ok:
                _LOG.info("log sink %s: %s again", self.name, message)
            else:
                _LOG.warning("log sink %s: %s; lines wait in their files until it is right", self.name, message)  # fmt: skip
        self._status = SinkStatus(self.name, ok, message)
        self._metrics.sink_up.labels(self.name).set(ok)


def _pause(attempt: int, error: DeliveryError | None) -> float:
    """Return how long to wait: exponential with jitter; as told; long where only people can help."""
    if error is not None and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    if error is not None and not error.retryable:
        return REFUSED_SECONDS
    longest = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 20))
    return longest * random.uniform(0.5, 1.0)
