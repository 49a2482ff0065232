"""How many log tails run, and the end of each: at its reader's leaving or at the server's stop."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_SECONDS: Final = 0.5


class Tails:
    """Bounds the streams, since each holds one of the server's threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._open: dict[threading.Event, Callable[[], bool]] = {}
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def open(self) -> int:
        """How many streams run now."""
        return len(self._open)

    def take(self, is_gone: Callable[[], bool]) -> threading.Event | None:
        """Register a stream.

        Args:
            is_gone: Whether the stream's reader has left; asked twice a second.

        Returns:
            The event that is set when the stream must end; None if there are too many already.
        """
        with self._lock:
            if len(self._open) >= self.limit or self._closed.is_set():
                return None
            stop = threading.Event()
            self._open[stop] = is_gone
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="web-tails", daemon=True)
                self._watcher.start()
            return stop

    def give_back(self, stop: threading.Event) -> None:
        """Say that a stream has ended."""
        stop.set()
        with self._lock:
            self._open.pop(stop, None)

    @contextmanager
    def held(self, stop: threading.Event) -> Iterator[None]:
        """Give the stream back at the end of a block."""
        try:
            yield
        finally:
            self.give_back(stop)

    def close(self) -> None:
        """End all streams and take no more."""
        self._closed.set()
        with self._lock:
            for stop in self._open:
                stop.set()
        if self._watcher is not None:
            self._watcher.join()

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            with self._lock:
                streams = list(self._open.items())
            for stop, is_gone in streams:
                if is_gone():
                    stop.set()
