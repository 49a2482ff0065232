"""The way to one sink: a bounded buffer, and threads that deliver and never give up.

Each sink has its own positions in every source. One that is slow or down fills its own buffer;
then nothing more is read for it (the files are the buffer), while the others go on.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from msgspec import Struct

from logship.deadletter import DeadLetters
from logship.metrics import LogshipMetrics
from logship.order import Order
from logship.pace import BYTES_MAX, BYTES_MIN, REQUEST_BYTES, Pace
from logship.sink.base import ConcurrentSink, Sink
from logship.source.chunk import Chunk
from model.clock import Clock
from model.errors import DeliveryError
from model.log import Delivery, LogBatch
from storage.failpoint import reach

_LOG: Final = logging.getLogger(__name__)

BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_MAX_SECONDS: Final = 30.0
REFUSED_SECONDS: Final = 30.0  # a wrong password is tried again this often
CHECK_SECONDS: Final = 30.0  # a sink that nothing is sent to is looked at this often


class SinkStatus(Struct, frozen=True):
    """How a sink is doing, for people."""

    name: str
    ok: bool
    message: str


class Lane:
    """Takes chunks for one sink and moves their sources' positions once they are there.

    A sink that can do several writes at once gets them where that is faster; the first thread
    takes whatever there is, the others only whole requests.
    """

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
        self._concurrent = sink if isinstance(sink, ConcurrentSink) else None
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._buffered = metrics.buffer_bytes.labels(self.name)
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._timeout_seconds = timeout_seconds
        self._on_delivered = on_delivered
        self._chunks: deque[Chunk] = deque()
        self._queued = 0  # bytes that are not delivered yet
        self._waiting = 0  # of these, bytes that no thread has taken
        self._taken = 0  # how many threads have chunks
        self._sending = 0  # how many of them are in a write
        self._failures = 0  # in a row
        self._not_before = 0.0
        self._order = Order(self.name)
        self._seen: set[str] = set()
        self._started_ms = clock.now_ns() // 1_000_000
        parallel = self._concurrent.parallel if self._concurrent is not None else 1
        most = min(BYTES_MAX, max(BYTES_MIN, buffer_bytes // 8)) if parallel > 1 else REQUEST_BYTES
        self._pace = Pace(parallel, most, min(REQUEST_BYTES, most))
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # chunks may be taken
        self._written = threading.Condition(lock)  # a write has ended
        self._stopping = threading.Event()
        self._abandon = threading.Event()
        self._threads: list[threading.Thread] = []
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
        self._resumed(chunk)
        # what is ready is three times as large; where the far side is slow there is time for it later
        if self._concurrent is not None and self._pace.parallel == 1 and self._waiting < self._pace.request_bytes:  # fmt: skip
            with suppress(Exception):  # the thread that writes will meet it too
                for batch in chunk.batches:
                    self._concurrent.ahead(batch)
        with self._changed:
            self._chunks.append(chunk)
            self._order.add(chunk)
            self._queued += chunk.size
            self._waiting += chunk.size
            reach("buffer.put")
            if self._waiting >= self._pace.request_bytes:
                self._wake()

    def _resumed(self, chunk: Chunk) -> None:
        """Tell the sink of a source that another life of this process may have read."""
        if self._concurrent is None or chunk.task.status.created_ms >= self._started_ms:
            return
        new = {batch.source_id for batch in chunk.batches} - self._seen
        if new:
            self._seen |= new
            self._concurrent.resumed(new)

    def go(self) -> None:
        """Deliver what was put: many small chunks are one delivery, and one waking."""
        with self._changed:
            if not self._chunks:
                return
            self._wake()
        self._buffered.set(self._queued)

    def _wake(self) -> None:
        """Wake one thread if it has something to do: to wake all of them costs more than what they do."""
        if self._may_take():
            self._changed.notify()

    def start(self) -> None:
        """Start delivering."""
        for number in range(self._pace.parallel_max):
            thread = threading.Thread(target=self._run, args=(number,), name=f"logship-{self.name}-{number}", daemon=True)  # fmt: skip
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_seconds: float) -> None:
        """Deliver what is buffered within the time, then let go; safe twice and before start."""
        self._stopping.set()
        self._wake_all()
        end = self._clock.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock.monotonic()))
        self._abandon.set()
        self._wake_all()
        end = self._clock.monotonic() + 1.0
        for thread in self._threads:
            # what hangs in a request is a daemon, and nothing of it is acknowledged
            thread.join(max(0.0, end - self._clock.monotonic()))
        self._sink.close()

    def _wake_all(self) -> None:
        with self._changed:
            self._changed.notify_all()
            self._written.notify_all()

    def _run(self, number: int) -> None:
        if number == 0:
            self._check()
        while not self._abandon.is_set():
            chunks = self._next(number)
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
                    self._waiting += sum(chunk.size for chunk in chunks)
                    self._taken -= 1
                continue
            with self._changed:
                if not delivered:
                    self._abandon.set()
                    self._wake_all()
                    return
                reach("buffer.delivered")
                for chunk in chunks:
                    self._order.delivered(chunk)
                self._queued -= sum(chunk.size for chunk in chunks)
                self._taken -= 1
            self._buffered.set(self._queued)
            reach("buffer.released")
            self._on_delivered()

    def _next(self, number: int) -> list[Chunk] | None:
        """Wait for chunks, as many as make one request; None at the end.

        None come back where nothing has been sent for a while: the sink is looked at.
        """
        with self._changed:
            waited = 0.0
            while not self._may_take():
                if self._stopping.is_set() and not self._chunks:
                    return None
                if self._abandon.is_set():
                    return None
                if number == 0 and not self._chunks and waited >= CHECK_SECONDS:
                    return []
                self._changed.wait(1.0)
                waited += 1.0
            chunks = [self._chunks.popleft()]
            size = chunks[0].size
            while self._chunks and size + self._chunks[0].size <= self._pace.request_bytes:
                chunks.append(self._chunks.popleft())
                size += chunks[-1].size
            self._waiting -= size
            self._taken += 1
            self._wake()  # of what is left, another may take its part
            reach("buffer.taken")
            return chunks

    def _may_take(self) -> bool:
        """Tell whether one more thread is to take chunks: the first any, others whole requests."""
        if not self._chunks:
            return False
        return not self._taken or (self._taken < self._pace.parallel and self._waiting >= self._pace.request_bytes)  # fmt: skip

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
        size = sum(chunk.size for chunk in chunks)
        attempt = 0
        while pending:
            attempt += 1
            last = self._turn()
            started = self._clock.monotonic()
            try:
                deliveries = self._sink.write(pending, self._timeout_seconds)
            except DeliveryError as error:
                self._metrics.errors.labels("sink", "DeliveryError").inc()
                self._say(ok=False, message=str(error))
                self._later(error)
            else:
                pending = self._sort(pending, deliveries, attempt)
                if pending:
                    self._metrics.errors.labels("sink", "retryable").inc()
                    self._later(None)
                else:
                    self._say(ok=True, message="delivering")
                    self._delivered(size, self._clock.monotonic() - started)
            finally:
                with self._changed:
                    self._sending -= 1
                    self._written.notify()
            if pending and (last or self._abandon.is_set()):  # the lines wait in their files
                return False
        return True

    def _turn(self) -> bool:
        """Wait until a write may be tried; return whether it is the last one, because we stop."""
        while True:
            last = self._stopping.is_set()
            wait = self._not_before - self._clock.monotonic()
            if wait > 0 and not last:
                self._stopping.wait(wait)
                continue
            with self._changed:
                if self._sending < self._pace.parallel or last:
                    self._sending += 1
                    return last
                self._written.wait(1.0)

    def _delivered(self, size: int, seconds: float) -> None:
        with self._changed:
            self._failures = 0
            more = self._waiting >= self._pace.request_bytes
            self._pace.delivered(size, seconds, self._clock.monotonic(), cpu=time.process_time(), more=more)  # fmt: skip
            self._tell_pace()

    def _later(self, error: DeliveryError | None) -> None:
        """Set when a write is tried next, by whichever thread."""
        with self._changed:
            self._failures += 1
            self._pace.failed()
            self._tell_pace()
            self._not_before = self._clock.monotonic() + _pause(self._failures, error)

    def _tell_pace(self) -> None:
        self._metrics.request_bytes.labels(self.name).set(self._pace.request_bytes)
        self._metrics.parallel.labels(self.name).set(self._pace.parallel)

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
                dead = batch.take(refused)
                reasons = {n: delivery.reasons.get(int(row), "") for n, row in enumerate(refused.tolist())}  # fmt: skip
                if not self._bury(dead, reasons, attempt):
                    left.append(dead)
        return left

    def _bury(self, batch: LogBatch, reasons: dict[int, str], attempt: int) -> bool:
        """Put records that are refused for good into the dead-letter file; False if that cannot be written.

        Then they are sent, and refused, again until it can: a line is never given up silently.
        """
        try:
            lost = self._dead_letters.put(batch, reasons, attempts=attempt, at_ns=self._clock.now_ns())  # fmt: skip
        except OSError as error:
            self._metrics.errors.labels("dead_letters", type(error).__name__).inc()
            self._say(ok=False, message=f"{self.name} refuses records, and {self._dead_letters.path} cannot be written: {error.strerror}")  # fmt: skip
            return False
        self._metrics.dropped.labels("refused").inc(len(batch))
        if lost:
            self._metrics.dropped.labels("dead_letters_full").inc(lost)
        return True

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
