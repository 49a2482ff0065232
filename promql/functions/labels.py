"""label_replace and label_join: worked out once for each value a label has, not for each series."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from model.errors import QueryError
from model.labels import METRIC_NAME, LabelColumn, LabelTable
from promql.block import Block, merge_same_labels
from promql.call import CallContext
from promql.functions.table import STRING, VECTOR, function
from promql.regex import compile_anchored
from promql.text import is_utf8

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


def column_of(table: LabelTable, name: str) -> LabelColumn:
    """Return a label's column, empty if no series has it."""
    column = table.columns.get(name)
    return column or LabelColumn(np.zeros(table.size, dtype=np.int32), [""])


def column_from(texts: Sequence[str], inverse: Any) -> LabelColumn:
    """Make a column of texts chosen by index; the empty text is code 0."""
    index: dict[str, int] = {"": 0}
    codes = np.array([index.setdefault(t, len(index)) for t in texts], dtype=np.int32)
    return LabelColumn(codes[inverse].astype(np.int32), list(index))


def set_label(block: Block, name: str, column: LabelColumn) -> Block:
    """Return the vector with one label set; a metric name set this way stays.

    Raises:
        QueryError: If series become equal.
    """
    table = block.labels.with_column(name, column)
    if not column.codes.any():
        table = table.drop([name])
    block = replace(block, labels=table)
    if name == METRIC_NAME:
        block = replace(block, drop_name=np.zeros(block.size, dtype=bool))
    return merge_same_labels(block)


def _expand(template: str, match: Any) -> str:
    def reference(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        if name is None:
            return "$"
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(reference, template)


@function(
    "label_replace",
    VECTOR,
    STRING,
    STRING,
    STRING,
    STRING,
    doc="Sets a label from another one by a regular expression: (v, dst, replacement, src, regex).",
)
def run_label_replace(call: CallContext) -> Block:
    """A series whose source label does not match stays as it is."""
    dst, template, src, pattern = (call.string(i) for i in range(1, 5))
    try:
        regex = compile_anchored(pattern)
    except ValueError:
        raise QueryError(f"invalid regular expression in label_replace(): {pattern}") from None
    if not dst or not is_utf8(dst):
        raise QueryError(f"invalid destination label name in label_replace(): {dst}")
    block = call.vector(0)
    source, old = column_of(block.labels, src), column_of(block.labels, dst)
    pairs, inverse = np.unique(np.stack([source.codes, old.codes]), axis=1, return_inverse=True)
    texts, changed = [], []
    for source_code, old_code in pairs.T.tolist():
        match = regex.fullmatch(source.values[source_code])
        changed.append(match is not None)
        texts.append(_expand(template, match) if match else old.values[old_code])
    column = column_from(texts, inverse.reshape(-1))
    kept = block.drop_name
    block = set_label(block, dst, column)
    if dst == METRIC_NAME and len(kept) == block.size:
        hit = np.array(changed, dtype=bool)[inverse.reshape(-1)]
        block = replace(block, drop_name=kept & ~hit)
    return block


@function(
    "label_join",
    VECTOR,
    STRING,
    STRING,
    STRING,
    variadic=-1,
    doc="Sets a label to others joined by a separator: (v, dst, separator, src...).",
)
def run_label_join(call: CallContext) -> Block:
    """An empty result takes the label away."""
    dst, separator = call.string(1), call.string(2)
    names = [call.string(i) for i in range(3, len(call.node.args))]
    for name in names:
        if not name or not is_utf8(name):
            raise QueryError(f"invalid source label name in label_join(): {name}")
    if not dst or not is_utf8(dst):
        raise QueryError(f"invalid destination label name in label_join(): {dst}")
    block = call.vector(0)
    group, first = block.labels.group(names)
    columns = [column_of(block.labels, name) for name in names]
    texts = [
        separator.join(col.values[col.codes[row]] for col in columns) for row in first.tolist()
    ]
    return set_label(block, dst, column_from(texts, group))
