"""Which series of two vectors belong together, and the labels of what comes of them."""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.labels import LabelColumn, LabelTable, concat_tables, recode
from promql import ast
from promql.ast import Card
from promql.block import METADATA_LABELS, Block, Index
from promql.words import COMPARISONS, TRIMS


def _matching_names(matching: ast.Matching, *tables: LabelTable) -> list[str]:
    """Return the labels by which series are paired."""
    if matching.on:
        return list(matching.labels)
    left_out = {*matching.labels, *METADATA_LABELS}
    return sorted({name for t in tables for name in t.columns if name not in left_out})


def signatures(matching: ast.Matching, left: Block, right: Block) -> tuple[Index, Index, int]:
    """Number the match groups: ``(of each left series, of each right series, how many)``."""
    return left.labels.once_with(
        ("signatures", matching), right.labels, lambda: _signatures(matching, left, right)
    )


def _signatures(matching: ast.Matching, left: Block, right: Block) -> tuple[Index, Index, int]:
    names = _matching_names(matching, left.labels, right.labels)
    both = concat_tables([left.labels.keep(names), right.labels.keep(names)])
    group, first = both.group(names)
    return group[: left.size], group[left.size :], len(first)


def join(left_group: Index, right_group: Index, groups: int) -> tuple[Index, Index]:
    """Return every pair of left and right rows of the same match group, in order of the left."""
    order = np.argsort(right_group, kind="stable")
    counts = np.bincount(right_group, minlength=groups)
    starts = np.cumsum(counts) - counts
    repeat = counts[left_group]
    left_rows = np.repeat(np.arange(len(left_group)), repeat)
    within = np.arange(len(left_rows)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    return left_rows, order[np.repeat(starts[left_group], repeat) + within]


class Pairs(Struct, frozen=True):
    """Which series of two vectors belong together.

    Attributes:
        many_group: Match group of each series of the side that may have many.
        one_group: Likewise of the other side.
        groups: How many groups there are.
        many_rows: One side of each pair.
        one_rows: The other side.
        many_labels: Labels of ``many_rows``.
        one_labels: Labels of ``one_rows``.
        one_once: Whether each group has at most one series on that side.
        identical: Whether the pairs are all series of both sides, in their order.
    """

    many_group: Index
    one_group: Index
    groups: int
    many_rows: Index
    one_rows: Index
    many_labels: LabelTable
    one_labels: LabelTable
    one_once: bool
    identical: bool

    def spread(self, many: Block, one: Block) -> tuple[Block, Block]:
        """Return both sides of each pair."""
        if self.identical:
            return many, one
        return (
            replace(many.take_values(self.many_rows), labels=self.many_labels),
            replace(one.take_values(self.one_rows), labels=self.one_labels),
        )


def pairs_of(matching: ast.Matching, many: Block, one: Block) -> Pairs:
    """Pair the series of two vectors."""
    many_group, one_group, groups = signatures(matching, many, one)
    many_rows, one_rows = join(many_group, one_group, groups)
    identical = all(
        len(rows) == block.size and bool((rows == np.arange(block.size)).all())
        for rows, block in ((many_rows, many), (one_rows, one))
    )
    return Pairs(
        many_group,
        one_group,
        groups,
        many_rows,
        one_rows,
        many.labels if identical else many.labels.take(many_rows),
        one.labels if identical else one.labels.take(one_rows),
        len(np.unique(one_group)) == len(one_group),
        identical,
    )


def match_labels(matching: ast.Matching, table: LabelTable) -> LabelTable:
    """Return only the labels by which series are paired."""
    if matching.on:
        return table.keep(matching.labels)
    return table.drop([*matching.labels, *METADATA_LABELS])


def result_labels(
    node: ast.Binary, matching: ast.Matching, many: LabelTable, one: LabelTable
) -> LabelTable:
    """Return the labels of the results, row by row of the pairs (``resultMetric`` upstream)."""
    if node.op not in COMPARISONS and node.op not in TRIMS:
        many = many.drop(METADATA_LABELS)
    if matching.card is Card.ONE_TO_ONE:
        return many.keep(matching.labels) if matching.on else many.drop(matching.labels)
    for name in matching.include:
        column = one.columns.get(name)
        if column is None or not column.codes.any():
            many = many.drop([name])
        else:
            values, codes = recode([column])
            many = many.with_column(name, LabelColumn(codes[0], values))
    return many
