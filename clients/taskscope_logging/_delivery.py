"""What carries records away: a thread that delivers, and one that keeps on disk what has to wait.

They are two because a delivery may wait for seconds (a name is looked up, a receiver does not
answer), in which a busy application fills any queue.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from taskscope_logging._backlog import TAKE_OVER_SECONDS, Backlog
from taskscope_logging._outlets import SEND_SECONDS, Chunk, Outlet
from taskscope_logging._queue import Queue
from taskscope_logging._spool import Spool

BACKOFF_SECONDS = (0.1, 5.0)
# while the receiver is away, a kill costs what was logged in this time
SPILL_SECONDS = 0.25
SPILL_AGAIN_SECONDS = 1.0
LAST_SPILL_SECONDS = 1.0


class Delivery:
    """Takes records from the queue to the outlet, in order; by way of the spool where they have to wait.

    Args:
        queue: Where they are.
        outlet: Where they go.
        spool: Keeps what has to wait; None to leave it in the queue.
        say: Makes a packed record of a sentence.

    Attributes:
        errors: How much went wrong.
        problem: The last of that; "" once a delivery works.
        backlog: What waits.
    """

    def __init__(
        self, queue: Queue, outlet: Outlet, spool: Spool | None, say: Callable[[str], bytes]
    ) -> None:
        self._queue = queue
        self._outlet = outlet
        self._keeps = spool is not None
        self._say = say
        self.backlog = Backlog(queue, outlet, spool, self._complain)
        self.begin()

    def begin(self) -> None:
        """Be new; in a forked child threads, connection and files are its parent's."""
        self.backlog.begin()
        self.errors = 0
        self.problem = ""
        self._complaints: set[str] = set()
        self._away = False  # the last delivery failed
        self._wake = threading.Event()
        self._spill_now = threading.Event()
        self._ended = threading.Event()
        self._delivered = threading.Condition(self._queue.guard)
        self._started = False
        self._delivering: threading.Thread | None = None
        self._spilling: threading.Thread | None = None

    def start(self) -> None:
        """Start the threads, once."""
        with self._queue.guard:
            if self._started:
                return
            self._started = True
        if self._keeps:
            self._wake.set()  # a process that died may have left something
        delivering = threading.Thread(target=self._deliver_all, name="taskscope-logging", daemon=True)  # fmt: skip
        spilling = threading.Thread(target=self._spill_all, name="taskscope-logging-spool", daemon=True)  # fmt: skip
        with suppress(RuntimeError):  # the interpreter is ending: close() does their work
            delivering.start()
            self._delivering = delivering
            if self._keeps:
                spilling.start()
                self._spilling = spilling

    def wake(self) -> None:
        """Notice that there is a new record."""
        self._wake.set()
        if self._keeps and self._queue.more_than_half_full:
            self._spill_now.set()

    def fail(self, error: Exception) -> None:
        """Count something that went wrong."""
        self.errors += 1
        self.problem = f"{type(error).__name__}: {error}"

    def _complain(self, error: OSError) -> None:
        """Count that the spool's disk does not work; say it as a record, once for each kind."""
        self.fail(error)
        kind = f"{type(error).__name__} {error.errno}"
        if kind not in self._complaints:
            self._complaints.add(kind)
            self._queue.notice(self._say(f"the spool of log records: {self.problem}"))

    def _deliver_all(self) -> None:
        pause = BACKOFF_SECONDS[0]
        self.backlog.prepare()
        while not self._ended.is_set():
            self._wake.wait(TAKE_OVER_SECONDS if self._keeps else None)
            self._wake.clear()
            while (chunk := self.backlog.first()) and not self._ended.is_set():
                if self._deliver(chunk, time.monotonic() + SEND_SECONDS):
                    pause = BACKOFF_SECONDS[0]
                else:
                    self._ended.wait(pause)
                    pause = min(2 * pause, BACKOFF_SECONDS[1])

    def _deliver(self, chunk: Chunk, deadline: float) -> bool:
        try:
            self._outlet.deliver(chunk, deadline)
        except Exception as error:
            self.fail(error)
            self._away = True
            self._spill_now.set()
            return False
        self.problem = ""
        self._away = False
        self.backlog.delivered()
        with self._queue.guard:
            self._delivered.notify_all()
        return True

    def _spill_all(self) -> None:
        while not self._ended.is_set():
            self._spill_now.wait(SPILL_SECONDS if self._away else None)
            self._spill_now.clear()
            pressed = self._away or self._queue.more_than_half_full
            if pressed and not self.backlog.spill():
                self._ended.wait(SPILL_AGAIN_SECONDS)
        self.backlog.spill(last=True)

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is left in the queue, in the spool, and on the way."""
        with self._queue.guard:
            return self._delivered.wait_for(lambda: self.backlog.empty, seconds)

    def close(self, seconds: float) -> None:
        """Deliver what is left, in this time; spool the rest, count as dropped what cannot be."""
        deadline = time.monotonic() + seconds
        if self._keeps and self._away:
            deadline = time.monotonic()  # it waits on disk
        elif _is_running(self._delivering):
            self.flush(seconds)
        self._queue.close()
        self._ended.set()
        self._wake.set()
        self._spill_now.set()
        _join(self._delivering, max(0.0, deadline - time.monotonic()) + 0.1)
        # not where the spool's own thread runs: it may be waiting for a disk that hangs
        if not _is_running(self._delivering) and not _is_running(self._spilling):
            while time.monotonic() < deadline and (chunk := self.backlog.first()):
                if not self._deliver(chunk, deadline):
                    break
        if self._keeps:
            _join(self._spilling, max(LAST_SPILL_SECONDS, deadline - time.monotonic()))
            if not _is_running(self._spilling):
                self.backlog.spill(last=True)
                self.backlog.close()
        self.backlog.give_up()
        with suppress(Exception):
            self._outlet.close()


def _is_running(thread: threading.Thread | None) -> bool:
    return thread is not None and thread.is_alive()


def _join(thread: threading.Thread | None, seconds: float) -> None:
    if thread is not None and thread is not threading.current_thread():
        thread.join(seconds)
