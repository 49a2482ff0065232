"""``/api/v1/series``, ``labels``, ``label/<name>/values`` and ``metadata``: what there is to ask for."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import orjson
from flask import Blueprint, Response

from model.labels import LabelTable, Matcher, concat_tables
from storage.interface import Hints, Metadata, Queryable
from web.api import params
from web.api.answers import need
from web.api.envelope import success, success_of
from web.api.label_text import label_objects
from web.api.params import BadParameterError
from web.api.query import BOTH, NO_STORE
from web.api.selectors import TRUNCATED, matcher_sets, window
from web.parts import Parts

_ESCAPED: Final = "U__"
_ESCAPE: Final = re.compile(r"__|_([0-9A-Fa-f]{0,6})_")


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("series", __name__, url_prefix="/api/v1")

    def store() -> Queryable:
        return need(parts.queryable, NO_STORE)

    @routes.route("/series", methods=BOTH)
    def series() -> Response:
        series_of = store().select
        if not params.asked().texts("match[]"):
            raise BadParameterError("no match[] parameter provided")
        limit = params.asked().limit()
        start, end = window()
        hints = Hints(func="series", series_only=True)
        selectors = matcher_sets('invalid parameter "match[]": ')
        table = concat_tables([series_of(one, start, end, hints).labels for one in selectors])
        if len(selectors) > 1:
            table = _once_in_order(table)
        cut = 0 < limit < table.size
        if cut:
            table = table.take(np.arange(limit))
        data = b"[" + b",".join(label_objects(table)) + b"]"
        return success(data, _warnings(cut=cut))

    @routes.route("/labels", methods=BOTH)
    def labels() -> Response:
        return _texts(store().label_names)

    @routes.get("/label/<path:name>/values")
    def label_values(name: str) -> Response:
        label = unescaped(name)
        if not label:
            raise BadParameterError(f'invalid label name: "{label}"')
        return _texts(lambda *asked: store().label_values(label, *asked))

    @routes.get("/metadata")
    def metadata() -> Response:
        limit = params.asked().plain_limit("limit")
        params.asked().plain_limit("limit_per_metric")  # one is kept for each metric
        known = sorted(store().metadata(params.asked().text("metric")).items())
        shown = known if limit < 0 else known[:limit]
        return success_of({name: [metadata_json(one)] for name, one in shown})

    return routes


def _once_in_order(table: LabelTable) -> LabelTable:
    table = table.take(table.group(table.columns)[1])
    rows = table.rows()
    return table.take(np.array(sorted(range(len(rows)), key=rows.__getitem__), dtype=np.int64))


def metadata_json(one: Metadata) -> dict[str, Any]:
    """Return what is known of a metric family."""
    return {"type": one.type, "unit": one.unit, "help": one.help}


def unescaped(name: str) -> str:
    """Return a label name of which ``U__`` says that it is escaped (prometheus/common, UnescapeName)."""
    if not name.startswith(_ESCAPED):
        return name
    rest = name.removeprefix(_ESCAPED)
    out, at = [], 0
    while (begin := rest.find("_", at)) >= 0:
        match = _ESCAPE.match(rest, begin)
        code = int(match[1] or "0", 16) if match and match[1] is not None else ord("_")
        if match is None or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            return name
        out += [rest[at:begin], chr(code)]
        at = match.end()
    return "".join(out) + rest[at:]


def _texts(of: Callable[[Sequence[Matcher], int, int], list[str]]) -> Response:
    limit = params.asked().limit()
    start, end = window()
    selectors = matcher_sets()
    if len(selectors) > 1:
        found = sorted({text for one in selectors for text in of(one, start, end)})
    else:
        found = of(selectors[0] if selectors else (), start, end)
    cut = 0 < limit < len(found)
    return success(orjson.dumps(found[:limit] if cut else found), _warnings(cut=cut))


def _warnings(*, cut: bool) -> Sequence[str]:
    return (TRUNCATED,) if cut else ()
