"""Trees as ``parse_query`` shows them."""

import json

import pytest

from promql.parser import parse
from promql.tree import tree_of

_PLACE = {"offset": 0, "offsetExpr": None, "timestamp": None, "startOrEnd": None}
_PLAIN = {"anchored": False, "smoothed": False, **_PLACE}


def _matcher(name: str, op: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value, "type": op}


_FOO = {
    "type": "vectorSelector",
    "name": "foo",
    "matchers": [_matcher("__name__", "=", "foo")],
    **_PLAIN,
}


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1e3", {"type": "numberLiteral", "val": "1000"}),
        ("'a'", {"type": "stringLiteral", "val": "a"}),
        ("foo", _FOO),
        (
            '{a=~"b"} smoothed offset -1m @ end()',
            {
                "type": "vectorSelector",
                "name": "",
                "matchers": [_matcher("a", "=~", "b")],
                **_PLAIN,
                "smoothed": True,
                "offset": -60_000,
                "startOrEnd": "end",
            },
        ),
        (
            "foo[90s] @ 1.5",
            {
                **_FOO,
                "type": "matrixSelector",
                "range": 90_000,
                "rangeExpr": None,
                "timestamp": 1500,
            },
        ),
        (
            "foo[5m:(step())]",
            {
                "type": "subquery",
                "expr": _FOO,
                "range": 300_000,
                "rangeExpr": None,
                "step": 0,
                "stepExpr": {
                    "type": "durationExpr",
                    "op": "step",
                    "lhs": None,
                    "rhs": None,
                    "wrapped": True,
                },
                **_PLACE,
            },
        ),
        (
            "topk without (a) (2, foo)",
            {
                "type": "aggregation",
                "op": "topk",
                "expr": _FOO,
                "param": {"type": "numberLiteral", "val": "2"},
                "grouping": ["a"],
                "without": True,
            },
        ),
        (
            "-foo > bool on (a) group_left (b) fill (0.5) (foo)",
            {
                "type": "binaryExpr",
                "op": ">",
                "lhs": {"type": "unaryExpr", "op": "-", "expr": _FOO},
                "rhs": {"type": "parenExpr", "expr": _FOO},
                "bool": True,
                "matching": {
                    "card": "many-to-one",
                    "labels": ["a"],
                    "on": True,
                    "include": ["b"],
                    "fillValues": {"lhs": 0.5, "rhs": 0.5},
                },
            },
        ),
        (
            "time() * 2",
            {
                "type": "binaryExpr",
                "op": "*",
                "lhs": {
                    "type": "call",
                    "func": {
                        "name": "time",
                        "argTypes": [],
                        "variadic": 0,
                        "returnType": "scalar",
                    },
                    "args": [],
                },
                "rhs": {"type": "numberLiteral", "val": "2"},
                "bool": False,
                "matching": None,
            },
        ),
    ],
)
def test_nodes_have_prometheuss_fields(text: str, tree: dict[str, object]) -> None:
    """Names, nulls and units are those the query page of Prometheus reads."""
    assert tree_of(parse(text)) == tree


def test_a_set_operation_is_many_to_many() -> None:
    """Also where nobody wrote it."""
    matching = tree_of(parse("foo and foo"))["matching"]

    assert matching["card"] == "many-to-many"


def test_numbers_are_json() -> None:
    """Whole fill values stand without a point, and what JSON cannot say is null."""
    fills = tree_of(parse("foo + fill_left (2) fill_right (NaN) foo"))["matching"]["fillValues"]

    assert json.dumps(fills) == '{"lhs": 2, "rhs": null}'
