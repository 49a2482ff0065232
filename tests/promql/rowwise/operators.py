"""Binary operators: element by element, and the pairing of series."""

import math
from collections.abc import Callable, Mapping
from typing import Final

from model.labels import METRIC_NAME, Labels
from promql import ast
from tests.promql.rowwise.series import Element, RowError, Vector, only, without_name


def _divide(a: float, b: float) -> float:
    if b == 0:
        return (
            math.nan
            if a == 0 or math.isnan(a)
            else math.copysign(math.inf, a) * math.copysign(1, b)
        )
    return a / b


def _modulo(a: float, b: float) -> float:
    if b == 0 or math.isinf(a) or math.isnan(a) or math.isnan(b):
        return math.nan
    return math.fmod(a, b)


ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": _modulo,
    "atan2": math.atan2,
}
COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def scalars(op: str, left: float, right: float) -> float:
    """Work out an operation; comparisons give 0 or 1."""
    if op in COMPARISONS:
        return float(COMPARISONS[op](left, right))
    return ARITHMETIC[op](left, right)


def _one(
    node: ast.Binary, left: float, right: float, labels: Labels, unnamed: bool, kept: float
) -> Element | None:
    """Work out one pair; a comparison without ``bool`` keeps a value or nothing."""
    value = scalars(node.op, left, right)
    if node.op in COMPARISONS and not node.return_bool:
        return Element(labels, kept, unnamed) if value else None
    return Element(labels, value, True)


def with_scalar(node: ast.Binary, vector: Vector, scalar: float, *, swapped: bool) -> Vector:
    """Work out an operation of a vector and a scalar."""
    out = []
    for e in vector:
        left, right = (scalar, e.value) if swapped else (e.value, scalar)
        out.append(_one(node, left, right, e.labels, e.unnamed, e.value))
    return [e for e in out if e is not None]


def _signature(matching: ast.Matching, labels: Labels) -> Labels:
    if matching.on:
        return only(labels, lambda name: name in matching.labels)
    return only(labels, lambda name: name not in matching.labels and name != METRIC_NAME)


def set_operation(node: ast.Binary, left: Vector, right: Vector) -> Vector:
    """Work out ``and``, ``or`` and ``unless``."""
    matching = node.matching or ast.Matching()
    ours = {_signature(matching, e.labels) for e in left}
    theirs = {_signature(matching, e.labels) for e in right}
    if node.op == "and":
        return [e for e in left if _signature(matching, e.labels) in theirs]
    if node.op == "unless":
        return [e for e in left if _signature(matching, e.labels) not in theirs]
    return left + [e for e in right if _signature(matching, e.labels) not in ours]


def with_vector(node: ast.Binary, left: Vector, right: Vector) -> Vector:
    """Pair the elements of two vectors and work out each pair.

    Raises:
        RowError: If an element has more than one partner where it may have one.
    """
    matching = node.matching or ast.Matching()
    if not left or not right:
        return []
    swapped = matching.card is ast.Card.ONE_TO_MANY
    many, one = (right, left) if swapped else (left, right)
    partners: dict[Labels, Element] = {}
    for e in one:
        if _signature(matching, e.labels) in partners:
            raise RowError("found duplicate series")
        partners[_signature(matching, e.labels)] = e
    out: Vector = []
    used: set[Labels] = set()
    for e in many:
        signature = _signature(matching, e.labels)
        partner = partners.get(signature)
        if partner is None:
            continue
        a, b = (partner, e) if swapped else (e, partner)
        labels = _labels_of(node, matching, e, partner)
        # also where a comparison leaves nothing
        key = signature if matching.card is ast.Card.ONE_TO_ONE else labels
        if key in used:
            raise RowError("multiple matches")
        used.add(key)
        # whether a name was to go is forgotten here: VectorBinop sets it anew
        done = _one(node, a.value, b.value, labels, False, a.value)
        if done is not None:
            out.append(done)
    return out


def _labels_of(node: ast.Binary, matching: ast.Matching, many: Element, one: Element) -> Labels:
    # with bool the name goes, too, but not before the end: resultMetric only looks at the operator
    labels = many.labels if node.op in COMPARISONS else without_name(many.labels)
    if matching.card is ast.Card.ONE_TO_ONE:
        if matching.on:
            return only(labels, lambda name: name in matching.labels)
        return only(labels, lambda name: name not in matching.labels)
    pairs = dict(labels)
    for name in matching.include:
        pairs[name] = one.labels.get(name)
    return Labels.of(pairs)
