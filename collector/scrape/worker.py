"""What happens to one target's scrapes: the threads that parse, and the state that the targets page shows."""

import logging
import time
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from msgspec import Struct, field

from collector.metrics import ScrapeMetrics
from collector.scrape.http import FetchError, Response
from collector.scrape.series import TargetSeries
from collector.scrape.target import Target
from collector.scrape.text import Exposition, ExpositionParser
from model.errors import StorageError
from storage.interface import Appender, Metadata

_log = logging.getLogger(__name__)

_TEXT: Final = frozenset({"", "text/plain"})
_OPENMETRICS: Final = "application/openmetrics-text"
_SMALL: Final = 1 << 20  # bytes of a body that takes the fetching thread a few milliseconds at most


class TargetState(Struct):
    """One target and how its scrapes go.

    Attributes:
        busy: Whether a scrape is under way.
        health: ``unknown`` before the first scrape, then ``up`` or ``down``.
        last_error: Why it is down, or what was left out of the last scrape; "" if all is well.
        last_scrape_ms: Start of the last scrape, ms since the epoch, 0 before the first.
        last_duration_seconds: How long it took.
    """

    target: Target
    series: TargetSeries
    parser: ExpositionParser = field(default_factory=ExpositionParser)
    lock: Lock = field(default_factory=Lock)
    busy: bool = False
    ended: bool = False
    health: str = "unknown"
    last_error: str = ""
    last_scrape_ms: int = 0
    last_duration_seconds: float = 0.0
    told: dict[str, Metadata] = field(default_factory=dict)


class _Fetched(Struct, frozen=True):
    state: TargetState
    result: Response | FetchError
    at_ms: int
    started: float
    found: Exposition | None = None


class _Ended(Struct, frozen=True):
    state: TargetState
    at_ms: int


class Workers:
    """Parses what was fetched and appends it.

    An exposition of known lines is worked off at once, on the thread that fetched it: handing it to
    another thread costs as much as parsing it, as the other core has none of it in its cache. What
    takes longer waits for the threads of this class, so that it holds up no other target.

    Args:
        appender: Where samples and metadata go.
        metrics: What is counted.
        threads: How many; more than two do not pay, parsing holds the interpreter's lock.
    """

    def __init__(self, appender: Appender, metrics: ScrapeMetrics, threads: int = 2) -> None:
        self._appender = appender
        self._metrics = metrics
        self._cpu = metrics.cpu.labels("parse")
        self._queue: SimpleQueue[_Fetched | _Ended | None] = SimpleQueue()
        self._count = threads
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._count):
            thread = Thread(target=self._run, name=f"scrape-parse-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Work off what is queued and end; safe twice and before start."""
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        self._threads.clear()

    def fetched(
        self, state: TargetState, result: Response | FetchError, at_ms: int, started: float
    ) -> None:
        """Hand in what a scrape gave; ``started`` is a time of ``time.monotonic()``."""
        began = time.thread_time()
        found = None
        if isinstance(result, Response) and result.body_bytes <= _SMALL:
            found = parse_known(state.parser, result)
        job = _Fetched(state, result, at_ms, started, found)
        if found is None:
            self._queue.put(job)
        else:
            self._work(job)
        self._cpu.inc(time.thread_time() - began)

    def end(self, state: TargetState, at_ms: int) -> None:
        """Have the target's series marked as stale once what is queued is done."""
        self._queue.put(_Ended(state, at_ms))

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            began = time.thread_time()
            self._work(job)
            self._cpu.inc(time.thread_time() - began)

    def _work(self, job: _Fetched | _Ended) -> None:
        try:
            with job.state.lock:
                if isinstance(job, _Ended):
                    self._end(job)
                elif not job.state.ended:
                    self._finish(job)
        except Exception:
            _log.exception("a scrape could not be worked off")
        finally:
            if isinstance(job, _Fetched):
                job.state.busy = False

    def _end(self, job: _Ended) -> None:
        job.state.ended = True
        try:
            job.state.series.end(job.at_ms)
        except StorageError as error:
            self._refused(job.state, error)

    def _finish(self, job: _Fetched) -> None:
        state = job.state
        state.last_scrape_ms = job.at_ms
        try:
            if isinstance(job.result, FetchError):
                raise job.result
            state.last_error = self._take(state, job, job.result)
            state.health = "up"
        except FetchError as error:
            self._fail(state, error, job)
        except StorageError as error:
            self._refused(state, error)
            self._fail(state, FetchError("storage", str(error)), job)
        state.last_duration_seconds = time.monotonic() - job.started

    def _fail(self, state: TargetState, error: FetchError, job: _Fetched) -> None:
        state.health, state.last_error = "down", str(error)
        self._metrics.failures.labels(state.target.job.job_name, error.reason).inc()
        try:
            state.series.fail(job.at_ms, time.monotonic() - job.started)
        except StorageError as refused:
            self._refused(state, refused)

    def _take(self, state: TargetState, job: _Fetched, response: Response) -> str:
        """Parse and append; return what was left out, "" if nothing.

        Raises:
            FetchError: If the response is no exposition or breaks a limit.
            StorageError: If the store refuses it.
        """
        found = job.found or parse_response(state.parser, response)
        outcome = state.series.append(found, job.at_ms, time.monotonic() - job.started)
        if state.parser.metadata != state.told:
            state.told = dict(state.parser.metadata)
            self._appender.set_metadata(state.told)
        rejected = dict(outcome.rejected)
        if found.bad_lines:
            rejected["bad_line"] = found.bad_lines
        for reason, count in rejected.items():
            self._metrics.rejected.labels(state.target.job.job_name, reason).inc(count)
        if found.bad_lines:
            return f"{found.bad_lines} lines cannot be read, the first is {found.first_bad!r}"
        left_out = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
        return f"samples left out: {left_out}" if left_out else ""

    def _refused(self, state: TargetState, error: StorageError) -> None:
        self._metrics.failures.labels(state.target.job.job_name, "storage").inc()
        _log.warning("the store refused a scrape: %s", error, extra={"url": state.target.url})


def parse_known(parser: ExpositionParser, response: Response) -> Exposition | None:
    """Return the exposition that a response is if its lines are those of the scrape before; else None."""
    try:
        openmetrics = _is_openmetrics(response)
        return parser.parse_known(response.body(), openmetrics=openmetrics)
    except FetchError:
        return None


def parse_response(parser: ExpositionParser, response: Response) -> Exposition:
    """Return the exposition that a response is.

    Raises:
        FetchError: If it is none: another status than 200, another type than text, or more lines
            that cannot be read than samples.
    """
    openmetrics = _is_openmetrics(response)
    found = parser.parse(response.body(), openmetrics=openmetrics)
    if found.bad_lines > len(found.values):
        raise FetchError("not_exposition", f"the answer is not an exposition: {found.first_bad!r}")
    if not found.complete:
        raise FetchError("truncated", "the exposition does not end with # EOF")
    return found


def _is_openmetrics(response: Response) -> bool:
    """Tell which format a response says it is in.

    Raises:
        FetchError: If it says that it is no exposition.
    """
    if response.status != 200:
        said = response.headers.get("location", "")
        to = f" to {said[:200]!r}, and redirects are not followed" if said else ""
        raise FetchError("status", f"the answer has HTTP status {response.status}{to}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TEXT and kind != _OPENMETRICS:
        raise FetchError("content_type", f"the answer is {kind[:80]!r}, not an exposition")
    return kind == _OPENMETRICS
