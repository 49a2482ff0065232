"""Looks host names up on a few threads of their own, for a thread that never waits."""

import functools
import ipaddress
import socket
import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final

_KEPT_SECONDS: Final = 60.0
_MAX_THREADS: Final = 4

Found = Callable[[str], None]


class Names:
    """See the module. ``find`` and what it calls are for the asking thread alone.

    Args:
        call: Has a function run on that thread; from any other.
    """

    def __init__(self, call: Callable[[Callable[[], None]], None]) -> None:
        self._call = call
        self._known: dict[str, tuple[float, str]] = {}
        self._waiting: dict[str, list[Found]] = {}
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._threads: list[Thread] = []

    def stop(self) -> None:
        """Have the threads end; they are not waited for, as a lookup can hang for long."""
        for _ in self._threads:
            self._queue.put(None)
        self._threads.clear()

    def find(self, host: str, found: Found) -> None:
        """Call ``found`` with the numeric address of a name or address, "" if it has none; at once if it is known."""
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            until, address = self._known.get(host, (0.0, ""))
            if until <= time.monotonic():
                self._look_up(host, found)
                return
        found(address)

    def _look_up(self, host: str, found: Found) -> None:
        waiting = self._waiting.setdefault(host, [])
        waiting.append(found)
        if len(waiting) > 1:
            return
        self._queue.put(host)
        if len(self._threads) < _MAX_THREADS:
            thread = Thread(target=self._run, name="scrape-resolve", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (host := self._queue.get()) is not None:
            try:
                places = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                address = str(places[0][4][0])
            except (OSError, UnicodeError, IndexError):
                address = ""
            self._call(functools.partial(self._tell, host, address))

    def _tell(self, host: str, address: str) -> None:
        if address:
            self._known[host] = (time.monotonic() + _KEPT_SECONDS, address)
        for found in self._waiting.pop(host, []):
            found(address)
