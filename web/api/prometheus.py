"""Prometheus's query API: ``/api/v1/query``, ``query_range``, ``series``, ``labels`` and their kin.

Names, parameters, envelope and error texts are those of prometheus/prometheus
docs/querying/api.md and web/api/v1/api.go.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import orjson
from flask import Blueprint, Response, request

from model.clock import Clock, now_ms
from model.errors import ParseError
from model.labels import Matcher, concat_tables
from promql.ast import ValueType
from promql.engine import Engine
from promql.parser import parse, parse_selector
from promql.result import Result
from promql.typecheck import type_of
from storage.interface import Hints, Queryable
from web.api import encoding, params
from web.api.answers import need
from web.api.envelope import success, success_of
from web.api.params import MAX_MS, MIN_MS, BadParameterError
from web.parts import Parts

MAX_POINTS: Final = 11_000
MAX_SECONDS: Final = 120.0  # Prometheus's query.timeout
_BOTH: Final = ["GET", "POST"]
_NO_STORE: Final = (
    "This process keeps no series; ask the Taskscope server that its agent sends them to."
)


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("prometheus", __name__, url_prefix="/api/v1")

    def store() -> Queryable:
        return need(parts.queryable, _NO_STORE)

    def engine() -> Engine:
        return need(parts.engine, _NO_STORE)

    @routes.route("/query", methods=_BOTH)
    def query() -> Response:
        run = engine()
        expr, _ = _expression()
        limit = params.limit()
        at = params.time_ms("time", now_ms(parts.clock))
        result = run.instant(store(), expr, at, cancelled=_until_timeout(parts.clock))
        return _answer(result, limit)

    @routes.route("/query_range", methods=_BOTH)
    def query_range() -> Response:
        run = engine()
        start, end = params.time_ms("start"), params.time_ms("end")
        if end < start:
            raise BadParameterError(
                'invalid parameter "end": end timestamp must not be before start time'
            )
        step = params.duration_ms("step")
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
        limit = params.limit()
        stop = _until_timeout(parts.clock)
        expr, kind = _expression()
        if kind not in (ValueType.VECTOR, ValueType.SCALAR):
            raise BadParameterError(
                f'invalid parameter "query": invalid expression type "{kind.value}" for range '
                "query, must be Scalar or instant Vector"
            )
        result = run.range(store(), expr, start, end, step, cancelled=stop)
        return _answer(result, limit)

    @routes.route("/series", methods=_BOTH)
    def series() -> Response:
        series_of = store().select
        selectors = _matchers()
        if not selectors:
            raise BadParameterError("no match[] parameter provided")
        start, end = _window()
        limit = params.limit()
        hints = Hints(func="series", series_only=True)
        tables = [series_of(one, start, end, hints).labels for one in selectors]
        table = concat_tables(tables)
        if len(selectors) > 1:
            table = table.take(table.group(table.columns)[1])
        cut = 0 < limit < table.size
        if cut:
            table = table.take(np.arange(limit))
        data = b"[" + b",".join(encoding.label_objects(table)) + b"]"
        return success(data, _warnings((), cut))

    @routes.route("/labels", methods=_BOTH)
    def labels() -> Response:
        start, end = _window()
        asked = _matchers() or [()]
        names = {name for one in asked for name in store().label_names(one, start, end)}
        return _names(sorted(names))

    @routes.get("/label/<name>/values")
    def label_values(name: str) -> Response:
        start, end = _window()
        asked = _matchers() or [()]
        values = {v for one in asked for v in store().label_values(name, one, start, end)}
        return _names(sorted(values))

    @routes.get("/metadata")
    def metadata() -> Response:
        limit = params.limit()
        known = store().metadata(params.text("metric"))
        found = {
            name: [{"type": one.type, "help": one.help, "unit": one.unit}]
            for name, one in sorted(known.items())
        }
        return success_of(dict(list(found.items())[: limit or None]))

    @routes.route("/query_exemplars", methods=_BOTH)
    def query_exemplars() -> Response:
        """Answer with none: exemplars are not kept. A query that is wrong is still told so."""
        _expression()
        return success(b"[]")

    @routes.get("/status/buildinfo")
    def buildinfo() -> Response:
        # Grafana looks at the version to decide which endpoints there are: those of Prometheus 3
        return success_of(
            {
                "version": "3.0.0",
                "revision": "",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": "",
                "application": "Taskscope",
                "taskscopeVersion": parts.version,
            }
        )

    return routes


def _answer(result: Result, limit: int) -> Response:
    kind, data, cut = encoding.value(result.value, limit)
    body = b'{"resultType":"' + kind.encode() + b'","result":' + data + b"}"
    return success(body, _warnings(result.warnings, cut), result.infos)


def _until_timeout(clock: Clock) -> Callable[[], bool]:
    """Return what tells the engine to stop: time is up, or nobody waits for the answer any more."""
    longest = MAX_SECONDS
    if params.text("timeout"):
        longest = min(longest, params.duration_ms("timeout") / 1000)
    end = clock.monotonic() + longest
    is_gone = request.environ.get("waitress.client_disconnected", bool)
    return lambda: clock.monotonic() >= end or is_gone()


def _expression() -> tuple[str, ValueType]:
    """Return ``query`` and what it gives.

    Raises:
        BadParameterError: If it cannot be parsed.
    """
    text = params.text("query")
    try:
        return text, type_of(parse(text))
    except ParseError as error:
        raise BadParameterError(f'invalid parameter "query": {error}') from error


def _matchers() -> list[Sequence[Matcher]]:
    try:
        return [parse_selector(text) for text in params.texts("match[]")]
    except ParseError as error:
        raise BadParameterError(f'invalid parameter "match[]": {error}') from error


def _window() -> tuple[int, int]:
    return params.time_ms("start", MIN_MS), params.time_ms("end", MAX_MS)


def _names(names: list[str]) -> Response:
    limit = params.limit()
    cut = 0 < limit < len(names)
    return success(orjson.dumps(names[: limit or None]), _warnings((), cut))


def _warnings(warnings: Sequence[str], cut: bool) -> Sequence[str]:
    return [*warnings, "results truncated due to limit"] if cut else warnings
