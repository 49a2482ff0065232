"""Aggregations, group by group."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from model.labels import METRIC_NAME, Labels
from promql import ast
from tests.promql.reference import variance
from tests.promql.rowwise.over_time import quantile
from tests.promql.rowwise.series import Element, Vector, only


def _greatest(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return max(known) if known else math.nan


def _least(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return min(known) if known else math.nan


SIMPLE: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "sum": lambda values: sum(values, 0.0),
    "avg": lambda values: sum(values, 0.0) / len(values),
    "min": _least,
    "max": _greatest,
    "count": lambda values: float(len(values)),
    "group": lambda _: 1.0,
    "stdvar": variance,
    "stddev": lambda values: math.sqrt(variance(values)),
}


def aggregate(node: ast.Aggregate, vector: Vector, param: float) -> Vector:
    """Work out an aggregation; ``param`` is NaN where there is none."""
    groups: dict[Labels, Vector] = {}
    for e in vector:
        groups.setdefault(_group(node, e.labels), []).append(e)
    out: Vector = []
    for labels, members in groups.items():
        values = [e.value for e in members]
        if node.op in SIMPLE:
            out.append(Element(labels, SIMPLE[node.op](values), _unnamed(node, members)))
        elif node.op == "quantile":
            out.append(Element(labels, quantile(param, values), _unnamed(node, members)))
        else:
            out += _ends(node.op, members, int(param))
    return out


def _group(node: ast.Aggregate, labels: Labels) -> Labels:
    if node.without:
        return only(labels, lambda n: n not in node.grouping and n != METRIC_NAME)
    return only(labels, lambda n: n in node.grouping)


def _unnamed(node: ast.Aggregate, members: Vector) -> bool:
    """A group by name has that name, unless it is to go."""
    by_name = not node.without and METRIC_NAME in node.grouping
    return by_name and any(e.unnamed for e in members)


def _ends(op: str, members: Vector, count: int) -> Vector:
    """Return the greatest or least elements; NaN only if nothing else is left."""
    sign = -1 if op == "topk" else 1
    ordered = sorted(members, key=lambda e: (math.isnan(e.value), sign * e.value))
    return ordered[: max(count, 0)]
