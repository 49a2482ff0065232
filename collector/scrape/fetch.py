"""One thread that fetches from all targets at once, with a selector and timers.

Connections are kept for the next scrape. Names are looked up elsewhere, as that can block;
everything here never waits.
"""

import heapq
import itertools
import logging
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from threading import Thread
from typing import Final

from msgspec import Struct

from collector.metrics import ScrapeMetrics
from collector.scrape.connection import Connection, describe, tls_context
from collector.scrape.http import FetchError, Response
from collector.scrape.names import Names
from collector.scrape.target import Target, Tls, redirected

_log = logging.getLogger(__name__)

# As Prometheus asks, without protobuf.
ACCEPT: Final = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 10

Done = Callable[[Response | FetchError], None]


class _Exchange(Struct):
    """One scrape under way.

    Attributes:
        target: What is asked now; where a redirect led if one was followed.
        key: Of the target that the scrape is of; only its own connection is kept.
        trusted: Whether this place may see the credentials.
    """

    target: Target
    key: object
    done: Done
    request: bytes = b""
    link: "_Link | None" = None
    redirects: int = 0
    trusted: bool = True
    fresh: bool = True
    over: bool = False


class _Link(Struct, eq=False):
    """A connection as the selector has it: always registered, also between two scrapes.

    Between scrapes ``exchange`` is None; readable then means that the far side has closed it.
    """

    connection: Connection
    fd: int
    key: object
    events: int
    exchange: _Exchange | None = None


class Fetcher:
    """See the module. ``call_at`` and ``fetch`` are for its own thread, ``call`` for any.

    Args:
        metrics: Where the thread's CPU time is counted.
        user_agent: What the targets see.
    """

    def __init__(self, metrics: ScrapeMetrics, user_agent: str = "Taskscope") -> None:
        self._cpu = metrics.cpu.labels("fetch")
        self._user_agent = user_agent
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._idle: dict[object, _Link] = {}
        self._forgotten: set[object] = set()
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._names = Names(self.call)
        self._thread: Thread | None = None
        self._stopping = False
        self._others_cpu = 0.0  # of what ``done`` did, which is counted there

    def start(self) -> None:
        """Begin to work off calls and timers."""
        if self._thread is None and not self._stopping:
            self._thread = Thread(target=self._run, name="scrape-fetch", daemon=True)
            self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Drop what is under way and close every connection; safe twice and before start."""
        self._stopping = True
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None
        self._names.stop()
        if self._selector.get_map() is not None:
            for key in list(self._selector.get_map().values()):
                if key.data is not None:
                    key.data.connection.close()
            self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the fetching thread soon; from any thread."""
        self._calls.append(function)
        self._wake()

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        """Run a function at a time of ``time.monotonic()``."""
        heapq.heappush(self._timers, (when, next(self._numbers), function))

    def forget(self, target: Target) -> None:
        """Close the connection kept for a target."""
        link = self._idle.pop(target.key, None)
        if link is not None:
            self._drop(link)
        else:
            self._forgotten.add(target.key)  # a scrape may be under way

    def fetch(self, target: Target, done: Done) -> None:
        """Ask a target; ``done`` gets the complete response or why there is none, on this thread."""
        self._forgotten.discard(target.key)
        exchange = _Exchange(target, target.key, done)
        deadline = time.monotonic() + target.timeout_seconds
        self.call_at(deadline, lambda: self._time_out(exchange))
        self._attempt(exchange, self._begin)

    # ------------------------------------------------------------ the loop

    def _run(self) -> None:
        counted = told = 0.0
        while not self._stopping:
            wait = None
            if self._timers:
                wait = max(self._timers[0][0] - time.monotonic(), 0.0)
            for key, _ in self._selector.select(0 if self._calls else wait):
                if key.data is None:
                    self._drain()
                else:
                    self._advance(key.data)
            while self._calls:
                self._guard(self._calls.popleft())
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guard(heapq.heappop(self._timers)[2])
            if now >= told:
                cpu = time.thread_time()
                self._cpu.inc(cpu - counted - self._others_cpu)
                counted, told, self._others_cpu = cpu, now + 1.0, 0.0

    def _guard(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception:
            _log.exception("a step of scraping failed")

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except (BlockingIOError, OSError):  # full: it is awake; closed: it is gone
            return

    def _drain(self) -> None:
        try:
            while self._wake_read.recv(4096):
                continue
        except BlockingIOError:
            return

    # ------------------------------------------------------------ one exchange

    def _attempt(self, exchange: _Exchange, step: Callable[[_Exchange], None]) -> None:
        """Take a step that may end the exchange."""
        try:
            step(exchange)
        except FetchError as error:
            self._finish(exchange, error)
        except OSError as error:
            self._finish(exchange, describe(error))

    def _request(self, target: Target, *, trusted: bool) -> bytes:
        try:
            authorization = target.job.credentials.header() if trusted else ""
        except (OSError, UnicodeDecodeError) as error:
            raise FetchError("credentials", f"the credentials cannot be read: {error}") from error
        lines = [
            f"GET {target.path} HTTP/1.1",
            f"Host: {target.address}",
            f"User-Agent: {self._user_agent}",
            f"Accept: {ACCEPT}",
            f"X-Prometheus-Scrape-Timeout-Seconds: {target.timeout_seconds:g}",
        ]
        if target.job.enable_compression:
            lines.append("Accept-Encoding: gzip")
        if authorization:
            lines.append(f"Authorization: {authorization}")
        if any("\r" in line or "\n" in line for line in lines):
            raise FetchError("credentials", "the credentials contain a line break")
        return "\r\n".join([*lines, "", ""]).encode("utf-8")

    def _begin(self, exchange: _Exchange) -> None:
        exchange.request = self._request(exchange.target, trusted=exchange.trusted)
        link = self._idle.pop(exchange.target.key, None)
        if link is not None:
            exchange.fresh = False
            self._send(exchange, link)
        else:
            self._connect_anew(exchange)

    def _connect_anew(self, exchange: _Exchange) -> None:
        def found(address: str) -> None:
            if not exchange.over:
                self._attempt(exchange, lambda one: self._connect(one, address))

        self._names.find(exchange.target.host, found)

    def _connect(self, exchange: _Exchange, address: str) -> None:
        target = exchange.target
        if not address:
            raise FetchError("name", f"the name {target.host!r} has no address")
        context = self._context(target.job.tls) if target.scheme == "https" else None
        server_name = target.job.tls.server_name or target.host
        exchange.fresh = True
        connection = Connection(address, target.port, context, server_name)
        link = _Link(connection, connection.fileno(), target.key, selectors.EVENT_WRITE)
        self._selector.register(link.fd, selectors.EVENT_WRITE, link)
        self._send(exchange, link)

    def _send(self, exchange: _Exchange, link: _Link) -> None:
        exchange.link, link.exchange = link, exchange
        link.connection.send(exchange.request, Response(exchange.target.job.body_size_limit_bytes))
        if link.connection.established:
            self._advance(link)

    def _advance(self, link: _Link) -> None:
        exchange, connection = link.exchange, link.connection
        if exchange is None:  # nothing was asked: the far side closed it, or talks out of turn
            self._idle.pop(link.key, None)
            self._drop(link)
            return
        try:
            events = connection.advance()
        except FetchError as error:
            if not self._try_again(exchange, lost=error.reason == "closed"):
                self._finish(exchange, error)
        except OSError as error:
            if not self._try_again(exchange, lost=True):
                self._finish(exchange, describe(error))
        except Exception as error:
            _log.exception("a scrape failed")
            self._finish(exchange, FetchError("internal", f"{type(error).__name__}: {error}"))
        else:
            if connection.response.done:
                self._attempt(exchange, lambda one: self._answered(one, connection.response))
            elif link.events != events:
                link.events = events
                self._selector.modify(link.fd, events, link)

    def _try_again(self, exchange: _Exchange, *, lost: bool) -> bool:
        """Connect anew where a kept connection turns out to have been closed by the far side."""
        link = exchange.link
        if link is None or exchange.fresh or not lost or not link.connection.silent:
            return False
        self._drop(link)
        exchange.link = None
        self._connect_anew(exchange)
        return True

    def _answered(self, exchange: _Exchange, response: Response) -> None:
        """Hand the response on, or go where it says.

        Raises:
            FetchError: If the way is too long or leads to no http or https address.
            OSError: If it cannot even begin to connect there.
        """
        location = response.headers.get("location", "")
        job = exchange.target.job
        if not (job.follow_redirects and response.status in _REDIRECTS and location):
            self._finish(exchange, response)
            return
        self._leave(exchange, reusable=response.keep_alive)
        exchange.redirects += 1
        if exchange.redirects > _MAX_REDIRECTS:
            raise FetchError("redirect", f"stopped after {_MAX_REDIRECTS} redirects")
        before, exchange.target = exchange.target, redirected(exchange.target, location)
        # as Go's client, which Prometheus has, but never in clear where they were not
        exchange.trusted &= exchange.target.host == before.host and not (
            before.scheme == "https" and exchange.target.scheme == "http"
        )
        self._begin(exchange)

    def _time_out(self, exchange: _Exchange) -> None:
        if not exchange.over:
            seconds = exchange.target.timeout_seconds
            self._finish(exchange, FetchError("timeout", f"no answer within {seconds:g} s"))

    def _finish(self, exchange: _Exchange, result: Response | FetchError) -> None:
        if exchange.over:
            return
        exchange.over = True
        self._leave(exchange, reusable=isinstance(result, Response) and result.keep_alive)
        began = time.thread_time()
        self._guard(lambda: exchange.done(result))
        self._others_cpu += time.thread_time() - began

    def _leave(self, exchange: _Exchange, *, reusable: bool) -> None:
        """Keep the connection for the target's next scrape, or close it."""
        link, exchange.link = exchange.link, None
        if link is None:
            return
        link.exchange = None
        link.connection.rest()
        if reusable and link.key == exchange.key and link.key not in self._forgotten:
            self._idle[link.key] = link
            if link.events != selectors.EVENT_READ:
                link.events = selectors.EVENT_READ
                self._selector.modify(link.fd, link.events, link)
        else:
            self._drop(link)

    def _drop(self, link: _Link) -> None:
        self._selector.unregister(link.fd)  # by number: a failed handshake has closed the socket
        link.connection.close()

    def _context(self, tls: Tls) -> ssl.SSLContext:
        known = self._contexts.get(tls)
        if known is None:
            known = self._contexts[tls] = tls_context(tls)
        return known
