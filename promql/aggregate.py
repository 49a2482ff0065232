"""Aggregations: series are sorted by group once, then each group is one segment of a reduction."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.errors import QueryError
from model.histogram.pool import HistogramColumn
from model.labels import LabelTable
from model.samples import Bools, Floats
from promql import ast
from promql.annotations import Annotations
from promql.block import METADATA_LABELS, Block, Index
from promql.call import metric_name
from promql.functions.labels import column_from
from promql.functions.mixed import MIXED_BUCKETS
from promql.functions.quantiles import beyond, quantile_of_sorted, warn_quantile
from promql.functions.reduce import kahan
from promql.hash import label_hashes
from promql.histogram.arithmetic import means, mended, misfits, totals
from promql.histogram.text import histogram_texts
from promql.text import format_float, format_g, is_utf8, quote

_EPSILON: Final = np.finfo(np.float64).eps
_TRUSTED: Final = 1e-11  # relative error at which a plain sum is as good as a compensated one
_IGNORES_HISTOGRAMS: Final = frozenset({"min", "max", "stddev", "stdvar", "quantile"})


class Segments(Struct, frozen=True):
    """The rows of a vector, sorted by group.

    Attributes:
        order: int64, shape (n,): rows, group by group, in their old order within each.
        starts: int64, shape (G,): where each group begins in ``order``.
        group: int64, shape (n,): group of each sorted row.
        first: int64, shape (G,): the first row of each group.
        labels: The groups' labels.
        sorted: Whether the rows stand group by group already.
    """

    order: Index
    starts: Index
    group: Index
    first: Index
    labels: LabelTable
    sorted: bool

    def sort(self, array: Any) -> Any:
        """Return rows group by group."""
        return array if self.sorted else array[self.order]

    def reduce(self, ufunc: Any, sorted_values: Any) -> Any:
        """Reduce each group's rows of an array in sorted order; shape (G, T)."""
        return ufunc.reduceat(sorted_values, self.starts, axis=0)


def grouping_names(node: ast.Aggregate, table: LabelTable) -> list[str]:
    """Return the labels that make the groups."""
    if node.without:
        left_out = {*node.grouping, *METADATA_LABELS}
        return [name for name in table.columns if name not in left_out]
    return [name for name in node.grouping if name in table.columns]


def segments(node: ast.Aggregate, table: LabelTable) -> Segments:
    """Sort the rows of a table by group."""
    names = tuple(grouping_names(node, table))
    return table.once(("segments", names), lambda: _segments(names, table))


def _segments(names: tuple[str, ...], table: LabelTable) -> Segments:
    group, first = table.group(names)
    order = np.argsort(group, kind="stable")
    sorted_group = group[order]
    starts = np.searchsorted(sorted_group, np.arange(len(first)))
    labels = table.keep(names).take(first)
    labels.notes["distinct"] = True
    return Segments(
        order, starts, sorted_group, first, labels, bool((order[1:] > order[:-1]).all())
    )


def aggregate(node: ast.Aggregate, block: Block, annotations: Annotations) -> Block:
    """Work out an aggregation without parameter."""
    if node.op in _IGNORES_HISTOGRAMS:
        block = without_histograms(node, block, annotations)
    if not block.size:
        return Block.empty(block.present.shape[1])
    parts = segments(node, block.labels)
    if node.op in ("sum", "avg") and block.histograms.any():
        return _with_histograms(node, block, parts, annotations)
    present = parts.sort(block.present)
    count = parts.reduce(np.add, present.astype(np.int64))
    values = _SIMPLE[node.op](parts, parts.sort(block.values), present, count)
    return _grouped(node, block, parts, values, count > 0)


def _with_histograms(
    node: ast.Aggregate, block: Block, parts: Segments, annotations: Annotations
) -> Block:
    """Add up floats and histograms apart; groups that hold both give nothing."""
    assert block.hist is not None
    floats, hists = block.floats[parts.order], block.histograms[parts.order]
    count = parts.reduce(np.add, floats.astype(np.int64))
    values = _SIMPLE[node.op](parts, block.values[parts.order], floats, count)
    some = parts.reduce(np.logical_or, hists)
    rows, steps = np.nonzero(hists)
    width = hists.shape[1]
    cell = parts.group[rows] * width + steps
    order = np.argsort(cell, kind="stable")
    cells, numbered = np.unique(cell[order], return_inverse=True)
    segment = numbered.reshape(-1)
    pool = block.hist.pool.take(block.hist.index[parts.order][rows, steps][order])
    add_up = totals if node.op == "sum" else means
    done = add_up(pool, segment, len(cells))
    # floats that come first keep histograms from being added at all
    first = _first_rows(parts, block.present[parts.order]).ravel()[cells]
    begun = hists[first, cells % width]
    odd = misfits(pool, segment) & begun[segment]
    for name in metric_names_of(block, parts.order[rows[order]][odd]):
        annotations.warn(MIXED_BUCKETS + quote(name), node.expr)
    mixed = ((count > 0) & some).ravel()[cells]
    told = mixed.copy()
    # what comes behind the first misfit is not looked at any more
    spoilt = segment[odd]
    running = np.zeros((len(floats) + 1, width), dtype=np.int64)
    np.cumsum(floats, axis=0, out=running[1:])
    at = cells[spoilt] % width
    told[spoilt] = running[rows[order][odd], at] > running[parts.starts[cells[spoilt] // width], at]
    if told.any():
        annotations.warn("encountered a mix of histograms and floats for aggregation", node.expr)
    if (done.collision & done.possible & ~mixed).any():
        annotations.warn("conflicting counter resets during histogram aggregation", node.expr)
    if (mended(pool, segment) & begun).any():
        annotations.info("mismatched custom buckets were reconciled during aggregation", node.expr)
    index = np.full(count.shape, -1, dtype=np.int32)
    index.ravel()[cells] = np.where(done.possible, np.arange(len(cells)), -1)
    present = np.where(some, (count == 0) & (index >= 0), count > 0)
    out = _grouped(node, block, parts, values, present, compact=False)
    return replace(out, hist=HistogramColumn(index, done.pool)).compact()


def _first_rows(parts: Segments, present: Bools) -> Index:
    """Return the first row, in sorted order, with a sample in each group at each step; shape (G, T)."""
    rows = np.where(present, np.arange(len(present))[:, None], len(present) - 1)
    out: Index = parts.reduce(np.minimum, rows)
    return out


def metric_names_of(block: Block, rows: Index) -> list[str]:
    """Return the metric names of some series, each once."""
    return list(dict.fromkeys(metric_name(block.labels, int(row)) for row in np.unique(rows)))


def without_histograms(node: ast.Aggregate, block: Block, annotations: Annotations) -> Block:
    """Leave histograms out and say so."""
    if block.hist is None:
        return block
    if block.histograms.any():
        about = node if node.op in ("topk", "bottomk") else node.expr
        annotations.info(f"ignored histogram in {node.op} aggregation", about)
    return block.with_values(block.values, block.floats).compact()


def _grouped(
    node: ast.Aggregate,
    block: Block,
    parts: Segments,
    values: Floats,
    present: Bools,
    *,
    compact: bool = True,
) -> Block:
    gone = parts.reduce(np.logical_or, parts.sort(block.drop_name))
    out = Block(parts.labels, values, present, gone)
    return out.compact() if compact else out


# ---------------------------------------------------------------- without parameter


def _sum(parts: Segments, values: Floats, present: Bools, count: Index) -> Floats:
    with np.errstate(all="ignore"):
        filled = values if present.all() else np.where(present, values, 0.0)
        plain: Floats = parts.reduce(np.add, filled)
        if len(filled) * _EPSILON <= _TRUSTED and filled.min() >= 0:
            return plain
        # an error grows with the size of the terms; terms of one sign cannot cancel
        size = np.abs(plain) if filled.min() >= 0 else parts.reduce(np.add, np.abs(filled))
        trusted = size * count * _EPSILON <= _TRUSTED * np.abs(plain)
        if not trusted.all():
            # whole numbers that stay below 2**53 add up without error
            whole = parts.reduce(np.logical_and, np.floor(filled) == filled)
            trusted |= whole & (size < 2.0**53)
    if trusted.all():
        return plain
    doubtful = np.flatnonzero(~trusted.all(axis=1))
    for number in doubtful.tolist():
        start = parts.starts[number]
        end = parts.starts[number + 1] if number + 1 < len(parts.starts) else len(filled)
        plain[number] = kahan(filled[start:end].T)
    return plain


def _mean(parts: Segments, values: Floats, present: Bools, count: Index) -> Floats:
    share = np.maximum(count, 1)
    with np.errstate(all="ignore"):
        mean = _sum(parts, values, present, count) / share
        if np.isinf(mean).any():
            scaled = _sum(parts, values / share[parts.group], present, count)
            mean = np.where(np.isinf(mean), scaled, mean)
    return mean


def _variance(parts: Segments, values: Floats, present: Bools, count: Index) -> Floats:
    with np.errstate(all="ignore"):
        mean = _mean(parts, values, present, count)
        away = np.where(present, values - mean[parts.group], 0.0)
        out: Floats = parts.reduce(np.add, away * away) / np.maximum(count, 1)
    return out


def _deviation(parts: Segments, values: Floats, present: Bools, count: Index) -> Floats:
    return np.sqrt(_variance(parts, values, present, count))


def _extreme(ufunc: Any) -> Callable[[Segments, Floats, Bools, Index], Floats]:
    def run(parts: Segments, values: Floats, present: Bools, count: Index) -> Floats:
        out: Floats = parts.reduce(ufunc, np.where(present, values, np.nan))
        return out

    return run


def _count(parts: Segments, values: Floats, present: Bools, count: Index) -> Floats:
    return count.astype(np.float64)


def _group(parts: Segments, values: Floats, present: Bools, count: Index) -> Floats:
    return np.ones(count.shape)


_SIMPLE: Final[dict[str, Callable[[Segments, Floats, Bools, Index], Floats]]] = {
    "sum": _sum,
    "avg": _mean,
    "min": _extreme(np.fmin),
    "max": _extreme(np.fmax),
    "count": _count,
    "group": _group,
    "stddev": _deviation,
    "stdvar": _variance,
}


# ---------------------------------------------------------------- with parameter


def quantile(node: ast.Aggregate, q: Floats, block: Block, annotations: Annotations) -> Block:
    """Work out ``quantile``; NaN counts as smallest."""
    assert node.param is not None
    warn_quantile(annotations, beyond(q, 0, 1), node.param)
    block = without_histograms(node, block, annotations)
    if not block.size:
        return Block.empty(block.present.shape[1])
    parts = segments(node, block.labels)
    present = parts.sort(block.present)
    count = parts.reduce(np.add, present.astype(np.int64))
    sorted_values = parts.sort(block.values)
    out = np.empty(count.shape)
    ends = np.append(parts.starts[1:], len(parts.order))
    for number, (start, end) in enumerate(zip(parts.starts.tolist(), ends.tolist(), strict=True)):
        values, here = sorted_values[start:end].T, present[start:end].T
        nans = here & np.isnan(values)
        keys = np.where(here, np.where(nans, -np.inf, values), np.inf)
        nan_count = nans.sum(axis=1)
        out[number] = quantile_of_sorted(np.sort(keys, axis=1), count[number], nan_count, q)
    return _grouped(node, block, parts, out, count > 0)


def count_values(node: ast.Aggregate, label: str, block: Block) -> Block:
    """Work out ``count_values``: one series for each value that occurs.

    Raises:
        QueryError: If the label's name is not valid.
    """
    if not label or not is_utf8(label):
        raise QueryError(f"invalid label name {quote(label)}")
    steps = block.present.shape[1]
    rows, at = np.nonzero(block.present)
    if not len(rows):
        return Block.empty(steps)
    table = block.labels
    names = [name for name in grouping_names(node, table) if name != label]
    group, first = table.group(names)
    texts, code = _value_texts(block, rows, at)
    if node.without and label in (*node.grouping, *METADATA_LABELS):
        texts, code = [""], np.zeros_like(code)  # the label itself is left out
    key = group[rows] * len(texts) + code
    keys, out_row = np.unique(key, return_inverse=True)
    counts = np.zeros((len(keys), steps))
    np.add.at(counts, (out_row.reshape(-1), at), 1.0)
    labels = table.keep(names).take(first[keys // len(texts)])
    column = column_from(texts, keys % len(texts))
    labels = labels.with_column(label, column) if column.codes.any() else labels.drop([label])
    return Block(labels, counts, counts > 0, np.zeros(len(keys), dtype=bool))


def _value_texts(block: Block, rows: Index, steps: Index) -> tuple[list[str], Index]:
    """Write the values at some places: ``(texts, which text at each place)``."""
    bits = np.where(np.isnan(block.values), np.nan, block.values)[rows, steps].view(np.int64)
    distinct, code = np.unique(bits, return_inverse=True)
    texts = [format_float(value) for value in distinct.view(np.float64).tolist()]
    code = code.reshape(-1)
    if block.hist is not None:
        index = np.where(block.present, block.hist.index, -1)[rows, steps]
        used, place = np.unique(index[index >= 0], return_inverse=True)
        code[index >= 0] = len(texts) + place.reshape(-1)
        texts += histogram_texts(block.hist.pool.take(used))
    # equal histograms are written alike
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return list(number), np.array([number[text] for text in texts], dtype=np.int64)[code]


def limit_ratio(
    node: ast.Aggregate, ratio: Floats, block: Block, annotations: Annotations
) -> Block:
    """Work out ``limit_ratio``: each series has a place in [0, 1) by its labels, and those below the ratio stay.

    A negative ratio keeps the others, so that r and r - 1 are complements. The hash is Prometheus's
    (promql/engine.go: ratiosampler), so that both keep the same series.
    """
    assert node.param is not None
    for value in beyond(ratio, -1, 1).tolist():
        text = f"ratio value should be between -1 and 1, got {format_g(value)}, capping to {1 if value > 0 else -1}"
        annotations.warn(text, node.param)
    place = label_hashes(block.labels).astype(np.float64)[:, None] / 2.0**64
    keep = np.where(ratio >= 0, place < ratio, place >= 1.0 + ratio)
    return replace(block, present=block.present & keep).compact()
