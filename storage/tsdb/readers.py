"""Who is reading right now, and what must wait until they are done: deleting files, giving refs away."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Readers:
    """Queries register here. They never wait; what would take something from under them does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0
        self._active: dict[int, None] = {}
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Be a reader."""
        with self._lock:
            number = self._next
            self._next += 1
            self._active[number] = None
        try:
            yield
        finally:
            with self._lock:
                del self._active[number]
                due = self._due()
            _do(due)

    def afterwards(self, work: Callable[[], None]) -> None:
        """Do something once all who read now are done: at once if nobody does, else in the last one's thread."""
        with self._lock:
            self._waiting.append((self._next, work))
            due = self._due()
        _do(due)

    def _due(self) -> list[Callable[[], None]]:
        oldest = next(iter(self._active), self._next)
        due = [work for before, work in self._waiting if before <= oldest]
        self._waiting = [(before, work) for before, work in self._waiting if before > oldest]
        return due


def _do(due: list[Callable[[], None]]) -> None:
    for work in due:
        try:
            work()
        except OSError as error:  # what is left is taken away at the next start
            log.warning("%s: %s", error.filename, error.strerror)
