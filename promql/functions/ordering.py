"""sort and its kin: the order of an instant query's answer."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from promql.block import Block
from promql.call import CallContext
from promql.functions.table import STRING, VECTOR, function

_RANGE_WARNING = "sort is ineffective for range queries since results are always ordered by labels"
_DIGITS = re.compile(r"(\d+)")


def _warn(call: CallContext) -> None:
    if call.is_range:
        call.annotations.warn(_RANGE_WARNING, call.node)


def _sorted_by_value(call: CallContext, *, descending: bool) -> Block:
    _warn(call)
    block = call.vector(0)
    floats = block.floats
    block = block.with_values(block.values, floats).compact()
    if call.is_range or block.size < 2:
        return block
    values = block.values[:, 0]
    keys = -values if descending else values
    return block.take(np.argsort(keys, kind="stable"))  # NaN goes last either way


@function("sort", VECTOR, doc="Smallest value first; histograms are left out.")
def run_sort(call: CallContext) -> Block:
    """NaN goes last."""
    return _sorted_by_value(call, descending=False)


@function("sort_desc", VECTOR, doc="Greatest value first; histograms are left out.")
def run_sort_desc(call: CallContext) -> Block:
    """NaN goes last."""
    return _sorted_by_value(call, descending=True)


def natural_key(text: str) -> tuple[Any, ...]:
    """Return a key that orders ``4m5`` before ``4m600``: runs of digits count as numbers."""
    parts = _DIGITS.split(text)
    return tuple((1, int(p), p) if i % 2 else (0, p, "") for i, p in enumerate(parts) if p)


def _sorted_by_label(call: CallContext, *, descending: bool) -> Block:
    _warn(call)
    block = call.vector(0)
    names = [call.string(i) for i in range(1, len(call.node.args))]
    rows = block.labels.rows()

    def key(i: int) -> tuple[Any, ...]:
        return (*(natural_key(rows[i].get(name)) for name in names), rows[i])

    order: Callable[[int], tuple[Any, ...]] = key
    picked = sorted(range(block.size), key=order, reverse=descending)
    return block.take(np.array(picked, dtype=np.int64))


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
