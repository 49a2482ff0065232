"""How many queries run at once, how long each may take, and that nobody works for a client who left."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from model.clock import Clock
from model.errors import QueryLimitError

_LOOK_SECONDS: Final = 0.1


class QueryCanceledError(QueryLimitError):
    """Whoever asked has hung up (HTTP 499, which nobody reads; it is counted)."""


class QueryLimits(Struct, frozen=True):
    """What one query, and all of them together, may use.

    Attributes:
        max_concurrency: Queries evaluated at once; more wait for a place.
        max_series: Series that one query may read, summed over its selectors; 0 for any number.
        timeout_seconds: Longest time from a query's arrival to its answer.
    """

    max_concurrency: int = 8
    max_series: int = 0
    timeout_seconds: float = 120.0


DEFAULT_LIMITS: Final = QueryLimits()


class Watch:
    """Says whether a query is to stop; the engine asks it between the steps of its work.

    Args:
        clock: Tells the time.
        seconds: How long the query may take from now on.
        is_gone: Whether the client has hung up.
    """

    def __init__(self, clock: Clock, seconds: float, is_gone: Callable[[], bool]) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds
        self._is_gone = is_gone

    def __call__(self) -> bool:
        """Return whether time is up.

        Raises:
            QueryCanceledError: If the client has hung up.
        """
        self._check_client("expression evaluation")
        return self._clock.monotonic() >= self._end

    def wait(self, places: threading.Semaphore) -> None:
        """Wait for a place among the queries that run.

        Raises:
            QueryCanceledError: If the client hangs up meanwhile.
            QueryLimitError: If time runs out first.
        """
        while not places.acquire(timeout=_LOOK_SECONDS):
            self._check_client("query execution")
            if self._clock.monotonic() >= self._end:
                raise QueryLimitError("query timed out in query execution", timeout=True)

    def _check_client(self, where: str) -> None:
        if self._is_gone():
            raise QueryCanceledError(f"query was canceled in {where}")


class QueryGate:
    """Lets some queries in at once; the others wait in line, as long as their time allows.

    Args:
        limits: See QueryLimits.
        clock: Tells the time.
        on_stop: Told why a query was stopped: timeout, canceled or limit.
    """

    def __init__(
        self,
        limits: QueryLimits,
        clock: Clock,
        on_stop: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._on_stop = on_stop
        self._places = threading.BoundedSemaphore(limits.max_concurrency)
        self._lock = threading.Lock()
        self.running = 0

    def watch(self, seconds: float | None, is_gone: Callable[[], bool]) -> Watch:
        """Return what stops a query that has just come in; ``seconds`` is what its client allows."""
        longest = self.limits.timeout_seconds
        return Watch(self._clock, longest if seconds is None else min(seconds, longest), is_gone)

    @contextmanager
    def place(self, watch: Watch) -> Iterator[None]:
        """Hold a place while a query is evaluated.

        Raises:
            QueryCanceledError: If the client hangs up in the line.
            QueryLimitError: If its time runs out there.
        """
        try:
            watch.wait(self._places)
            self._count(1)
            try:
                yield
            finally:
                self._count(-1)
                self._places.release()
        except QueryLimitError as error:
            self._on_stop(_reason(error))
            raise

    def _count(self, change: int) -> None:
        with self._lock:
            self.running += change


def _reason(error: QueryLimitError) -> str:
    if isinstance(error, QueryCanceledError):
        return "canceled"
    return "timeout" if error.timeout else "limit"
