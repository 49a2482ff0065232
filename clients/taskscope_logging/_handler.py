"""The handler: a bounded queue, and a thread that delivers. It never blocks and never raises."""

import logging
import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

from taskscope_logging._fields import Fields
from taskscope_logging._outlets import SEND_SECONDS, Outlet

BATCH_RECORDS = 1000
BATCH_BYTES = 256 << 10
BACKOFF_SECONDS = (0.1, 5.0)

_handlers: "weakref.WeakSet[Handler]" = weakref.WeakSet()


class Handler(logging.Handler):
    """Queues records for an outlet.

    Args:
        fields: Makes documents of records.
        outlet: Where they go.
        queue_records: The most that wait.
        queue_bytes: The most that wait.
        exit_seconds: How long ``close`` may take.

    Attributes:
        dropped: Records that were given up, because the queue was full or time was up at the end.
        errors: Records that no document could be made of, and deliveries that failed.
        problem: Why the last one failed; "" once a delivery works.
    """

    def __init__(
        self,
        fields: Fields,
        outlet: Outlet,
        *,
        queue_records: int,
        queue_bytes: int,
        exit_seconds: float,
    ) -> None:
        super().__init__()
        self.dropped = 0
        self.errors = 0
        self.problem = ""
        self._fields = fields
        self._outlet = outlet
        self._queue_records = max(1, queue_records)
        self._queue_bytes = queue_bytes
        self._exit_seconds = exit_seconds
        self._told = 0
        self._entered = threading.local()
        self._begin()
        _handlers.add(self)

    def _begin(self) -> None:
        self._guard = threading.RLock()  # a signal's handler may log while this thread has it
        self._wake = threading.Event()
        self._delivered = threading.Condition(self._guard)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._in_flight: list[bytes] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    # ------------------------------------------------------------ taking

    def handle(self, record: logging.LogRecord) -> Any:
        """Take a record; without the lock of other handlers, since this one waits for nothing."""
        accepted: Any = self.filter(record)  # since 3.12 a filter may return another record
        if accepted:
            self.emit(accepted if isinstance(accepted, logging.LogRecord) else record)
        return accepted

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; whatever goes wrong is counted, and nothing of it is logged."""
        if getattr(self._entered, "now", False):
            self.dropped += 1  # making a text of an argument has logged something
            return
        self._entered.now = True
        try:
            self._put(self._outlet.pack(self._fields.of(record), record.created))
        except Exception as error:
            self._fail(error)
        finally:
            self._entered.now = False

    def _put(self, packed: bytes) -> None:
        with self._guard:
            if self._closed:
                self.dropped += 1
                return
            self._queue.append(packed)
            self._queued_bytes += len(packed)
            while len(self._queue) > self._queue_records or self._queued_bytes > self._queue_bytes:
                self._queued_bytes -= len(self._queue.popleft())
                self.dropped += 1
            new = None
            if self._thread is None:
                new = threading.Thread(target=self._run, name="taskscope-logging", daemon=True)
                self._thread = new
        if new is not None:
            try:
                new.start()
            except RuntimeError:  # the interpreter is ending: close() delivers
                self._thread = None
        self._wake.set()

    # ------------------------------------------------------------ delivering

    def _run(self) -> None:
        pause = BACKOFF_SECONDS[0]
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._take():
                if self._closed:
                    break
                if self._deliver(time.monotonic() + SEND_SECONDS):
                    pause = BACKOFF_SECONDS[0]
                else:
                    self._pause(pause)
                    pause = min(2 * pause, BACKOFF_SECONDS[1])
            if self._closed:
                return

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._closed and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _take(self) -> bool:
        """Have something in flight, if there is anything; what could not be delivered is kept as it was."""
        with self._guard:
            if self._in_flight:
                return True
            size = 0
            while self._queue and len(self._in_flight) < BATCH_RECORDS and size < BATCH_BYTES:
                self._in_flight.append(self._queue.popleft())
                size += len(self._in_flight[-1])
            self._queued_bytes -= size
            if self._in_flight and self.dropped > self._told:
                self._in_flight.append(self._say(self.dropped - self._told))
                self._told = self.dropped
            return bool(self._in_flight)

    def _say(self, lost: int) -> bytes:
        record = logging.LogRecord(__name__.partition(".")[0], logging.WARNING, "", 0, "%d log records were dropped: the queue was full", (lost,), None)  # fmt: skip
        record.__dict__["log.dropped"] = lost
        return self._outlet.pack(self._fields.of(record), record.created)

    def _deliver(self, deadline: float) -> bool:
        try:
            self._outlet.deliver(self._in_flight, deadline)
        except Exception as error:
            self._fail(error)
            return False
        self.problem = ""
        with self._guard:
            self._in_flight = []
            self._delivered.notify_all()
        return True

    def _fail(self, error: Exception) -> None:
        self.errors += 1
        self.problem = f"{type(error).__name__}: {error}"

    # ------------------------------------------------------------ the end, and forks

    def flush(self, seconds: float = 0.0) -> bool:  # type: ignore[override]  # logging's takes and returns nothing
        """Wait until everything is delivered; ``logging.shutdown`` calls it without a time, ``close`` does the waiting then."""
        with self._guard:
            return self._delivered.wait_for(lambda: not (self._queue or self._in_flight), seconds)

    def close(self) -> None:
        """Deliver what is queued within ``exit_seconds``, count the rest as dropped; safe twice."""
        deadline = time.monotonic() + self._exit_seconds
        if not self._closed:
            thread = self._thread
            if thread is not None and thread.is_alive():
                self.flush(self._exit_seconds)
            self._closed = True
            self._wake.set()
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()) + 0.1)
            if thread is None or not thread.is_alive():
                while self._take() and time.monotonic() < deadline and self._deliver(deadline):
                    pass
            with self._guard:
                self.dropped += len(self._queue) + len(self._in_flight)
                self._queue.clear()
            with suppress(Exception):
                self._outlet.close()
        super().close()

    def _forked(self) -> None:
        """Begin anew in a child: what its parent queued is its parent's."""
        with suppress(Exception):
            self._outlet.forget()
        self.dropped = self._told = self.errors = 0
        self._begin()


def _forked() -> None:
    for handler in list(_handlers):
        handler._forked()  # noqa: SLF001  of the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
