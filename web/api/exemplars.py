"""``/api/v1/query_exemplars``."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flask import Blueprint, Response

from promql.parser import parse
from promql.visit import selectors
from web.api import params
from web.api.answers import need
from web.api.envelope import success
from web.api.label_text import json_text
from web.api.numbers import go_float, timestamps
from web.api.params import BadParameterError
from web.api.query import BOTH, NO_STORE
from web.api.selectors import window
from web.parts import Parts


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoint."""
    routes = Blueprint("exemplars", __name__, url_prefix="/api/v1")

    @routes.route("/query_exemplars", methods=BOTH)
    def query_exemplars() -> Response:
        need(parts.queryable, NO_STORE)
        start, end = window()
        if end < start:
            raise BadParameterError("end timestamp must not be before start timestamp")
        wanted = [one.matchers for one in selectors(parse(params.asked().text("query")))]
        if not wanted:
            return Response(status=204)
        found: Callable[..., Sequence[Any]] = parts.exemplars or (lambda *asked: ())
        return success(b"[" + b",".join(map(series_text, found(wanted, start, end))) + b"]")

    return routes


def series_text(one: Any) -> bytes:
    """Return the exemplars of one series (``storage.interface.SeriesExemplars``)."""
    listed = b",".join(map(exemplar_text, one.exemplars))
    return b'{"seriesLabels":' + _object(one.labels) + b',"exemplars":[' + listed + b"]}"


def exemplar_text(one: Any) -> bytes:
    """Return one exemplar (``model.samples.Exemplar``)."""
    value = go_float(one.value).encode()
    stamp = timestamps(np.array([one.ts_ms], dtype=np.int64))[0]
    head = b'{"labels":' + _object(one.labels) + b',"value":"' + value
    return head + b'","timestamp":' + stamp + b"}"


def _object(labels: Any) -> bytes:
    pairs = sorted(labels, key=operator.itemgetter(0))
    return b"{" + b",".join(json_text(name) + b":" + json_text(text) for name, text in pairs) + b"}"
