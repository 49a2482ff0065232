"""``/api/v1/query`` and ``query_range``.

Parameters, their order of checking, envelope and error texts are those of prometheus/prometheus
docs/querying/api.md and web/api/v1/api.go.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

import orjson
from flask import Blueprint, Response, request
from msgspec import Struct

from model.clock import now_ms
from model.errors import ParseError
from promql.ast import ValueType
from promql.engine import Engine
from promql.parser import parse
from promql.result import Matrix, Result
from promql.tally import Tally
from promql.typecheck import type_of
from storage.interface import Queryable
from web.api import encoding, params
from web.api.answers import need
from web.api.envelope import Answer, streamed, whole
from web.api.gate import QueryGate, Watch
from web.api.params import BadParameterError, Form
from web.api.query_stats import query_stats
from web.api.selectors import TRUNCATED
from web.api.series_count import CountedQueryable
from web.parts import Parts

MAX_POINTS: Final = 11_000
BOTH: Final = ["GET", "POST"]
NO_STORE: Final = (
    "This process keeps no series; ask the Taskscope server that its agent sends them to."
)
_STREAM_POINTS: Final = 500_000  # from here on an answer is sent while it is made


class Queries:
    """Evaluates what ``/query`` and ``/query_range`` are asked.

    Args:
        parts: What stands behind them.
        gate: Lets queries in.
    """

    def __init__(self, parts: Parts, gate: QueryGate) -> None:
        self._parts = parts
        self._gate = gate

    def instant(self, form: Form, is_gone: Callable[[], bool]) -> Answer:
        """Answer ``/query``; ``is_gone`` tells whether whoever asked has hung up.

        Raises:
            BadParameterError, QueryError, NotHereError: See ``web.api.answers.cause_of``.
        """
        limit = form.limit()
        at = form.time_ms("time", now_ms(self._parts.clock))
        run = self._arrived(form, is_gone)
        with self._gate.place(run.watch), query_parameter():
            queued = perf_counter()
            result = run.engine.instant(
                run.series, form.text("query"), at, cancelled=run.watch, tally=run.tally
            )
        return _answer(result, limit, run, queued, range(at, at + 1))

    def range(self, form: Form, is_gone: Callable[[], bool]) -> Answer:
        """Answer ``/query_range``; see ``instant``."""
        limit = form.limit()
        start, end, step = _range(form)
        run = self._arrived(form, is_gone)
        expr = form.text("query")
        with query_parameter():
            kind = type_of(parse(expr))
        if kind not in (ValueType.VECTOR, ValueType.SCALAR):
            raise BadParameterError(
                f'invalid parameter "query": invalid expression type "{kind.value}" for range '
                "query, must be Scalar or instant Vector"
            )
        with self._gate.place(run.watch):
            queued = perf_counter()
            result = run.engine.range(
                run.series, expr, start, end, step, cancelled=run.watch, tally=run.tally
            )
        return _answer(result, limit, run, queued, range(start, end + 1, step))

    def _arrived(self, form: Form, is_gone: Callable[[], bool]) -> "_Run":
        engine = need(self._parts.engine, NO_STORE)
        store: Queryable = need(self._parts.queryable, NO_STORE)
        watch = self._gate.watch(_timeout_seconds(form), is_gone)
        if lookback_delta := form.text("lookback_delta"):
            lookback = params.seconds_or_duration(lookback_delta)
            if lookback is None:
                raise BadParameterError(
                    "error parsing lookback delta duration: cannot parse "
                    f'"{lookback_delta}" to a valid duration'
                )
            engine = engine.with_lookback(lookback) if lookback > 0 else engine
        limits = self._gate.limits.max_series, engine.limits.max_samples
        counted = CountedQueryable(store, *limits, self._parts.series_at_most)
        asked = form.text("stats")
        return _Run(engine, asked, Tally() if asked else None, counted, watch, perf_counter())


class _Run(Struct, frozen=True):
    """One query on its way.

    Attributes:
        engine: With the lookback that the client asked for.
        asked: Which statistics the client asked for, "" for none.
        tally: Counts samples for them.
        series: The store, counted.
        watch: Stops it.
        began: When it arrived.
    """

    engine: Engine
    asked: str
    tally: Tally | None
    series: CountedQueryable
    watch: Watch
    began: float


def blueprint(queries: Queries) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("query", __name__, url_prefix="/api/v1")

    @routes.route("/query", methods=BOTH)
    def query() -> Response:
        return queries.instant(params.asked(), is_gone(request.environ)).response()

    @routes.route("/query_range", methods=BOTH)
    def query_range() -> Response:
        return queries.range(params.asked(), is_gone(request.environ)).response()

    return routes


def is_gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Return what tells whether the client of a request has hung up."""
    tells: Callable[[], bool] = environ.get("waitress.client_disconnected", bool)
    return tells


def _timeout_seconds(form: Form) -> float | None:
    if not form.text("timeout"):
        return None
    ms = form.duration_ms("timeout")
    if ms <= 0:
        raise BadParameterError(
            'invalid parameter "timeout": timeout must be positive, '
            f"got {params.shown_duration(ms)}"
        )
    return ms / 1000


def _range(form: Form) -> tuple[int, int, int]:
    start, end = form.time_ms("start"), form.time_ms("end")
    if end < start:
        raise BadParameterError(
            'invalid parameter "end": end timestamp must not be before start time'
        )
    step = form.duration_ms("step")
    if step <= 0:
        raise BadParameterError(
            'invalid parameter "step": zero or negative query resolution step widths are not '
            "accepted. Try a positive integer"
        )
    if (end - start) // step > MAX_POINTS:
        raise BadParameterError(
            "exceeded maximum resolution of 11,000 points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    return start, end, step


@contextmanager
def query_parameter() -> Iterator[None]:
    """Name the parameter that cannot be parsed."""
    try:
        yield
    except ParseError as error:
        raise BadParameterError(f'invalid parameter "query": {error}') from error


def _answer(result: Result, limit: int, run: _Run, queued: float, steps: range) -> Answer:
    evaluated = perf_counter()
    kind, data, cut = encoding.value(result.value, limit)
    warnings = [*result.warnings]
    if cut:
        warnings.append(TRUNCATED)
    if run.asked not in ("", "true", "all"):
        warnings.append(
            f'value "{run.asked}" for parameter "stats" is deprecated and will be rejected in the next '
            'major release, use "true" or "all"'
        )
    tail = b"}"
    if run.tally is not None:
        spent = queued - run.began, evaluated - queued
        stats = query_stats(run.tally, steps, result.stats.samples, *spent, each=run.asked == "all")
        tail = b',"stats":' + orjson.dumps(stats) + b"}"
    pieces = itertools.chain([b'{"resultType":"' + kind.encode() + b'","result":'], data, [tail])
    large = isinstance(result.value, Matrix) and result.value.values.size > _STREAM_POINTS
    return (streamed if large else whole)(pieces, warnings, result.infos)
