"""Worker threads that grow with need, up to a limit, and leave when they are idle."""

import logging
import queue
import time
from collections.abc import Callable
from threading import Lock, Thread, current_thread
from typing import Final

_log = logging.getLogger(__name__)

_IDLE_SECONDS: Final = 10.0


class Pool:
    """Runs jobs, each in the next free thread.

    Args:
        name: Of the threads.
        max_threads: Jobs beyond them wait.
    """

    def __init__(self, name: str, max_threads: int) -> None:
        self._name = name
        self._max = max_threads
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = Lock()
        self._threads: set[Thread] = set()
        self._pending = 0  # jobs that wait or run
        self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job soon; after ``stop`` it is dropped."""
        with self._lock:
            if self._closed:
                return
            self._pending += 1
            self._jobs.put(job)
            if self._pending > len(self._threads) and len(self._threads) < self._max:
                thread = Thread(target=self._work, name=self._name, daemon=True)
                self._threads.add(thread)
                thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Take no more jobs and wait for those that run; threads that hang are left to the process's end."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        deadline = time.monotonic() + timeout_seconds
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._pending >= len(self._threads):
                        continue  # a job was put just now and counts on this thread
                    self._threads.discard(current_thread())
                    return
            if job is None or self._closed:
                return
            try:
                job()
            except Exception:
                _log.exception("a health check goes on after an error of its own")
            finally:
                with self._lock:
                    self._pending -= 1
