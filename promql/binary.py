"""Arithmetic and comparison of scalars and vectors, element by element; set operators."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from model.errors import QueryError
from model.histogram.pool import HistogramColumn
from model.labels import concat_tables
from model.samples import Bools, Floats
from promql import ast
from promql.annotations import Annotations
from promql.ast import Card
from promql.block import Block, Index, concat_blocks, merge_same_labels
from promql.histogram.operators import Note, Side, operate_histograms, say_last
from promql.matching import match_labels, pairs_of, result_labels, signatures
from promql.text import metric_text, quote
from promql.words import COMPARISONS, TRIMS

Operation = Callable[[Floats, Floats], npt.NDArray[np.generic]]

_OPERATIONS: Final[dict[str, Operation]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
Problem = tuple[int, str]
"""The step at which something is wrong, and what."""

_ONE_TO_ONE_PROBLEM: Final = (
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
)
_GROUPING_PROBLEM: Final = "multiple matches for labels: grouping labels must ensure unique matches"


def scalar_operation(op: str, left: Floats, right: Floats) -> Floats:
    """Work out an operation on scalars; comparisons give 0 or 1.

    Raises:
        QueryError: If it is an operation on histograms.
    """
    if op in TRIMS:
        raise QueryError(f"operator {quote(op)} not allowed for Scalar operations")
    with np.errstate(all="ignore"):
        return _OPERATIONS[op](left, right).astype(np.float64)


class Elements(Struct, frozen=True):
    """What an operation gave, element by element; arrays of shape (n, T)."""

    values: Floats
    present: Bools
    hist: HistogramColumn | None = None
    failed: Bools | None = None
    notes: tuple[Note, ...] = ()


def operate(node: ast.Binary, left: Side, right: Side, present: Bools) -> Elements:
    """Work out an operation where both sides are present; a comparison keeps the left side's value."""
    shape = present.shape
    any_hist = left.hist is not None or right.hist is not None
    floats = present
    if any_hist:
        floats = present & ~left.is_hist(shape) & ~right.is_hist(shape)
    if node.op in TRIMS:
        values, kept = np.zeros(shape), np.zeros(shape, dtype=bool)
    else:
        values, kept = _operate_floats(node, left.values, right.values, floats)
    if not any_hist and node.op not in TRIMS:
        return Elements(values, kept)
    out = operate_histograms(node, left, right, present)
    values = np.where(out.present, out.numbers, values)
    return Elements(values, kept | out.present, out.column(), out.failed, tuple(out.notes))


def _operate_floats(
    node: ast.Binary, left: Floats, right: Floats, present: Bools
) -> tuple[Floats, Bools]:
    shape = present.shape
    with np.errstate(all="ignore"):
        out = _OPERATIONS[node.op](left, right)
    if node.op not in COMPARISONS:
        return np.broadcast_to(out.astype(np.float64, copy=False), shape), present
    if node.return_bool:
        return np.broadcast_to(out.astype(np.float64), shape), present
    return np.broadcast_to(left, shape), present & out.astype(bool)


def vector_scalar(
    node: ast.Binary, vector: Block, scalar: Floats, annotations: Annotations, *, swapped: bool
) -> Block:
    """Work out an operation between a vector and a scalar; ``swapped`` if the scalar stands left."""
    compares = node.op in COMPARISONS
    sides = Side(vector.values, vector.hist), Side(scalar[None, :], None)
    left, right = (sides[1], sides[0]) if swapped else sides
    found = operate(node, left, right, vector.present)
    say_last(node, [(note, np.arange(vector.size)) for note in found.notes], annotations)
    values = found.values
    if compares and swapped and not node.return_bool:
        values = vector.values  # a comparison keeps the vector's value, on whichever side
    out = replace(vector.with_values(values, found.present), hist=found.hist)
    if node.return_bool or not (compares or node.op in TRIMS):
        out = out.dropping_name()
    return out.compact()


# ---------------------------------------------------------------- matching


def set_operation(node: ast.Binary, left: Block, right: Block) -> Block:
    """Work out ``and``, ``or``, ``unless``."""
    matching = node.matching or ast.Matching()
    if not left.size or not right.size:
        if node.op == "and":
            return Block.empty(left.present.shape[1])
        return concat_blocks([left, right]) if node.op == "or" else left
    left_group, right_group, groups = signatures(matching, left, right)

    def present_in(group: Index, block: Block) -> Bools:
        out = np.zeros((groups, block.present.shape[1]), dtype=bool)
        np.logical_or.at(out, group, block.present)
        return out

    if node.op == "or":
        rest = right.present & ~present_in(left_group, left)[right_group]
        both = [left, replace(right, present=rest).compact()]
        return merge_same_labels(concat_blocks(both))
    found = present_in(right_group, right)[left_group]
    return replace(left, present=left.present & (found if node.op == "and" else ~found)).compact()


def vector_vector(node: ast.Binary, left: Block, right: Block, annotations: Annotations) -> Block:
    """Work out arithmetic or a comparison between two vectors.

    Raises:
        QueryError: If more series match than the modifiers allow.
    """
    matching = node.matching or ast.Matching()
    swapped = matching.card is Card.ONE_TO_MANY
    many, one = (right, left) if swapped else (left, right)
    fill_many = matching.fill_right if swapped else matching.fill_left
    fill_one = matching.fill_left if swapped else matching.fill_right
    steps = left.present.shape[1]
    filled = fill_many is not None or fill_one is not None
    if not (many.size or one.size) or not (filled or (many.size and one.size)):
        return Block.empty(steps)
    known = many.labels.once_with(
        ("pairs", matching), one.labels, lambda: pairs_of(matching, many, one)
    )
    many_group, one_group, groups = known.many_group, known.one_group, known.groups
    clash = None
    if not known.one_once:
        clash = _one_side_clash(matching, many, one, one_group, groups, always=filled)
    pairs = _Matched(node, swapped=swapped)
    sides = known.spread(many, one)
    both = sides[0].present & sides[1].present
    pairs.add(sides, both, many_group[known.many_rows], known.many_rows)
    matched = pairs.by_group(groups, steps)
    if fill_one is not None and many.size:
        lonely = many.present & ~_present_by_group(one_group, one, groups)[many_group]
        other = _filled(matching, many, fill_one)
        pairs.add((many, other), lonely, many_group, np.arange(many.size))
    if fill_many is not None and one.size:
        lonely = one.present & ~matched[one_group]
        other = _filled(matching, one, fill_many)
        pairs.add((other, one), lonely, one_group, many.size + np.arange(one.size))
    return pairs.result(clash, annotations)


class _Matched:
    """Collects what an operation gives for pairs of series, part by part."""

    def __init__(self, node: ast.Binary, *, swapped: bool) -> None:
        self._node = node
        self._matching = node.matching or ast.Matching()
        self._swapped = swapped
        self._parts: list[Block] = []
        self._groups: list[Index] = []
        self._worked: list[Bools] = []
        self._notes: list[tuple[Note, Index]] = []

    def add(self, sides: tuple[Block, Block], both: Bools, group: Index, order: Index) -> None:
        """Work out pairs of the "many" and the "one" side, where ``both`` (n, T) are there.

        ``group`` (n,) is the match group of each, ``order`` (n,) its place in Prometheus's order.
        """
        keeps_names = self._node.op in COMPARISONS or self._node.op in TRIMS
        labels = sides[0].labels.once_with(
            ("result", self._matching, keeps_names),
            sides[1].labels,
            lambda: result_labels(self._node, self._matching, sides[0].labels, sides[1].labels),
        )
        first, second = (sides[1], sides[0]) if self._swapped else sides
        left, right = Side(first.values, first.hist), Side(second.values, second.hist)
        found = operate(self._node, left, right, both)
        gone = np.full(labels.size, self._node.return_bool)
        self._parts.append(Block(labels, found.values, found.present, gone, found.hist))
        self._groups.append(group)
        self._worked.append(both if found.failed is None else both & ~found.failed)
        self._notes += [(note, order) for note in found.notes]

    def by_group(self, groups: int, steps: int) -> Bools:
        """Tell in which match groups anything came of it so far; shape (groups, T)."""
        out = np.zeros((groups, steps), dtype=bool)
        for group, worked in zip(self._groups, self._worked, strict=True):
            np.logical_or.at(out, group, worked)
        return out

    def result(self, clash: Problem | None, annotations: Annotations) -> Block:
        """Return the vector.

        Args:
            clash: What is wrong with the side that must have one series for each match group.
            annotations: Where notes go.

        Raises:
            QueryError: If more series match than the modifiers allow, or results become equal;
                what is wrong at the earliest step counts.
        """
        say_last(self._node, self._notes, annotations)
        group, worked = np.concatenate(self._groups), np.concatenate(self._worked)
        one_to_one = self._matching.card is Card.ONE_TO_ONE
        if not one_to_one:
            table = concat_tables([part.labels for part in self._parts])
            own, first = table.group(table.columns)
            group = np.unique(group * max(len(first), 1) + own, return_inverse=True)[1].reshape(-1)
        step = _more_than_one(group, worked)
        if clash is not None and (step is None or clash[0] <= step):
            raise QueryError(clash[1])
        if step is not None:
            raise QueryError(_ONE_TO_ONE_PROBLEM if one_to_one else _GROUPING_PROBLEM)
        return merge_same_labels(concat_blocks([p.compact() for p in self._parts]))


def _present_by_group(group: Index, block: Block, groups: int) -> Bools:
    out = np.zeros((groups, block.present.shape[1]), dtype=bool)
    np.logical_or.at(out, group, block.present)
    return out


def _filled(matching: ast.Matching, block: Block, value: float) -> Block:
    """Return what stands for the missing partners of a vector's series."""
    labels = match_labels(matching, block.labels)
    return replace(
        block.with_values(np.full(block.values.shape, value), np.ones_like(block.present)),
        labels=labels,
    )


def _more_than_one(group: Index, worked: Bools) -> int | None:
    """Return the first step with two results in one group, if there is any."""
    if len(np.unique(group)) == len(group):
        return None
    counts = np.zeros((int(group.max()) + 1, worked.shape[1]), dtype=np.int64)
    np.add.at(counts, group, worked)
    clash = (counts > 1).any(axis=0)
    return int(clash.argmax()) if clash.any() else None


def _one_side_clash(
    matching: ast.Matching, many: Block, one: Block, group: Index, groups: int, *, always: bool
) -> Problem | None:
    """Find two series of one match group at the same step on the side that must have one."""
    counts = np.zeros((groups, one.present.shape[1]), dtype=np.int64)
    np.add.at(counts, group, one.present)
    asked = many.present.any(axis=0)
    clash = (counts > 1) & (asked | always)
    if not clash.any():
        return None
    step = int(clash.any(axis=0).argmax())
    here = np.flatnonzero(one.present[:, step])
    firsts = here[np.unique(group[here], return_index=True)[1]]
    second = int(np.setdiff1d(here, firsts)[0])
    rows = [int(firsts[group[firsts] == group[second]][0]), second]
    names = sorted(metric_text(one.labels.labels(row)) for row in rows)
    matched = metric_text(match_labels(matching, one.labels.take(np.array(rows[:1]))).labels(0))
    side = "left" if matching.card is Card.ONE_TO_MANY else "right"
    return step, (
        f"found duplicate series for the match group {matched} on the {side} hand-side of the "
        f"operation: [{names[0]}, {names[1]}];many-to-many matching not allowed: "
        "matching labels must be unique on one side"
    )
