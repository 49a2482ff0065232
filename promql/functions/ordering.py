"""sort and its kin: the order of an instant query's answer."""

import re
from collections.abc import Callable
from functools import cmp_to_key

import numpy as np

from promql.block import Block
from promql.call import CallContext
from promql.functions.table import STRING, VECTOR, function

_RANGE_WARNING = "sort is ineffective for range queries since results are always ordered by labels"
_FEW = 12
_RUNS = re.compile(r"\d+|\D+", re.ASCII)


def _warn(call: CallContext) -> None:
    if call.is_range:
        call.annotations.warn(_RANGE_WARNING, call.node)


def _sorted_by_value(call: CallContext, *, descending: bool) -> Block:
    block = call.vector(0)
    _warn(call)
    floats = block.floats
    block = block.with_values(block.values, floats).compact()
    if call.is_range or block.size < 2:
        return block
    values = block.values[:, 0]
    keys = -values if descending else values
    order = np.argsort(keys, kind="stable")
    # NaN goes last either way, the last one first
    nans = int(np.isnan(values).sum())
    return block.take(
        np.concatenate([order[: len(order) - nans], order[len(order) - nans :][::-1]])
    )


@function("sort", VECTOR, doc="Smallest value first; histograms are left out.")
def run_sort(call: CallContext) -> Block:
    """NaN goes last."""
    return _sorted_by_value(call, descending=False)


@function("sort_desc", VECTOR, doc="Greatest value first; histograms are left out.")
def run_sort_desc(call: CallContext) -> Block:
    """NaN goes last."""
    return _sorted_by_value(call, descending=True)


def precedes(a: str, b: str) -> bool:
    """Tell whether a text comes before another that differs: runs of digits count as numbers.

    What differs only in leading zeros, and what begins alike, is ordered by length in runs.
    """
    ours, theirs = _RUNS.findall(a), _RUNS.findall(b)
    for one, other in zip(ours, theirs, strict=False):
        if one.isdigit() and other.isdigit():
            if int(one) != int(other):
                return int(one) < int(other)
        elif one != other:
            return bool(
                one.encode("utf-8", "surrogateescape") < other.encode("utf-8", "surrogateescape")
            )
    return 0 < len(ours) <= len(theirs)


def _sorted_by_label(call: CallContext, *, descending: bool) -> Block:
    block = call.vector(0)
    _warn(call)
    names = [call.string(i) for i in range(1, len(call.node.args))]
    rows = block.labels.rows()

    def compare(i: int, j: int) -> int:
        for name in names:
            one, other = rows[i].get(name), rows[j].get(name)
            if one != other:
                return -1 if precedes(one, other) else 1
        return (rows[i] > rows[j]) - (rows[i] < rows[j])

    if call.is_range:
        return block
    picked = _sorted(block.size, lambda i, j: -compare(i, j) if descending else compare(i, j))
    return block.take(np.array(picked, dtype=np.int64))


def _sorted(size: int, compare: Callable[[int, int], int]) -> list[int]:
    """Sort; a few by insertion as Go does, which shows where texts without any run come in between."""
    if size > _FEW:
        return sorted(range(size), key=cmp_to_key(compare))
    out = list(range(size))
    for i in range(1, size):
        for j in range(i, 0, -1):
            if compare(out[j], out[j - 1]) >= 0:
                break
            out[j], out[j - 1] = out[j - 1], out[j]
    return out


@function(
    "sort_by_label", VECTOR, STRING, variadic=-1, doc="By the values of labels, in natural order."
)
def run_sort_by_label(call: CallContext) -> Block:
    """Equal ones are ordered by all their labels."""
    return _sorted_by_label(call, descending=False)


@function(
    "sort_by_label_desc",
    VECTOR,
    STRING,
    variadic=-1,
    doc="By the values of labels, the other way round.",
)
def run_sort_by_label_desc(call: CallContext) -> Block:
    """Equal ones are ordered by all their labels."""
    return _sorted_by_label(call, descending=True)
