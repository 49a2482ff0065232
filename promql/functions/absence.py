"""absent and absent_over_time: one series where there is none."""

import numpy as np

from model.labels import METRIC_NAME, LabelTable, MatchOp
from model.samples import Bools
from promql import ast
from promql.block import Block
from promql.call import CallContext
from promql.functions.table import MATRIX, VECTOR, function


def labels_for_absent(expr: ast.Expr) -> LabelTable:
    """Return the labels a selector pins down: what it matches with ``=`` once and not otherwise."""
    expr = ast.unwrap(expr)
    if isinstance(expr, ast.MatrixSelector):
        expr = expr.selector
    if not isinstance(expr, ast.VectorSelector):
        return LabelTable(1, {})
    known: dict[str, str] = {}
    spoilt: set[str] = set()
    for matcher in expr.matchers:
        if matcher.name == METRIC_NAME:
            continue
        if matcher.op is MatchOp.EQUAL and matcher.name not in known:
            known[matcher.name] = matcher.value
        else:
            spoilt.add(matcher.name)
    pairs = {name: value for name, value in known.items() if name not in spoilt and value}
    return LabelTable.from_labels([pairs])


def _absent(call: CallContext, found: Bools) -> Block:
    block = Block.single(np.ones(call.steps), labels_for_absent(call.node.args[0]))
    return block.with_values(block.values, ~found[None, :]).dropping_name().compact()


@function(
    "absent", VECTOR, doc="1 where the vector has no series, with the labels the selector names."
)
def run_absent(call: CallContext) -> Block:
    """See the table."""
    found: Bools = np.any(call.vector(0).present, axis=0)
    return _absent(call, found)


@function("absent_over_time", MATRIX, doc="1 where no series has a sample in the range.")
def run_absent_over_time(call: CallContext) -> Block:
    """See the table."""
    windows = call.windows(0)
    found = np.zeros(call.steps, dtype=bool)
    for chunk in windows.chunks:
        found |= (chunk.count() > 0).any(axis=0)
    return _absent(call, found)
