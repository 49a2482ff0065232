"""Functions of histograms, native ones and classic ones side by side."""

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from model.histogram.pool import HistogramPool
from model.labels import LabelColumn
from model.samples import Bools, Floats
from promql.ast import Expr
from promql.block import Block, Index, concat_blocks
from promql.call import CallContext, metric_name
from promql.functions.quantiles import warn_quantile
from promql.functions.table import SCALAR, STRING, VECTOR, function
from promql.histogram import measure
from promql.histogram.classic import (
    BUCKET_LABEL,
    Buckets,
    Mendings,
    bucket_fraction,
    bucket_quantile,
    classic_buckets,
)
from promql.text import format_g, quote


def _pool_at(block: Block, where: Bools) -> HistogramPool:
    """Return the histograms at some places; nothing is moved if those are all there are."""
    assert block.hist is not None
    pool, rows = block.hist.pool, block.hist.index[where]
    if len(rows) == pool.size and (rows == np.arange(pool.size)).all():
        return pool
    return pool.take(rows)


def _native(block: Block, where: Bools, values: Floats) -> Block:
    out = np.zeros(block.values.shape)
    out[where] = values
    return block.with_values(out, where).dropping_name().compact()


def _register(name: str, doc: str, change: Callable[[HistogramPool], Floats]) -> None:
    @function(name, VECTOR, doc=doc)
    def run(call: CallContext) -> Block:
        block = call.vector(0)
        where = block.histograms
        if not where.any():
            return Block.empty(call.steps)
        with np.errstate(all="ignore"):
            return _native(block, where, change(_pool_at(block, where)))


_register("histogram_count", "Number of observations in native histograms.", lambda p: p.count)
_register("histogram_sum", "Sum of observations in native histograms.", lambda p: p.sum)
_register("histogram_avg", "Mean of observations in native histograms.", lambda p: p.sum / p.count)
_register("histogram_stdvar", "Estimated variance of observations.", measure.variance)
_register(
    "histogram_stddev",
    "Estimated standard deviation of observations.",
    lambda p: np.sqrt(measure.variance(p)),
)


def _split(call: CallContext, block: Block, node: Expr) -> tuple[Bools, Buckets | None]:
    """Tell native from classic histograms; where both have the same labels at a step, neither counts."""
    where = block.histograms
    buckets = classic_buckets(call, block, node)
    if buckets is None or not where.any():
        return where, buckets
    native = np.flatnonzero(where.any(axis=1))
    both = concat_blocks([block.take(native), block.take(buckets.first)])
    names = [n for n in both.labels.columns if n != BUCKET_LABEL]
    group, _ = both.labels.group(names)
    own_le = both.labels.columns.get(BUCKET_LABEL)
    number = buckets.number.copy()
    where = where.copy()
    for i, row in enumerate(native.tolist()):
        if own_le is not None and own_le.codes[i]:
            continue
        for h in np.flatnonzero(group[len(native) :] == group[i]).tolist():
            clash = where[row] & (number[h] > 0)
            if clash.any():
                name = metric_name(block.labels, row)
                text = "vector contains a mix of classic and native histograms"
                text += f" for metric name {quote(name)}" if name else ""
                call.annotations.warn(text, node)
                where[row] &= ~clash
                number[h] = np.where(clash, 0, number[h])
    return where, replace(buckets, number=number)


def _classic(block: Block, buckets: Buckets, values: Floats) -> Block:
    labels = block.labels.take(buckets.first).drop([BUCKET_LABEL])
    gone = np.ones(labels.size, dtype=bool)
    return Block(labels, values, buckets.number > 0, gone).compact()


def _say_about(call: CallContext, block: Block, rows: Index, text: str, node: Expr) -> None:
    """Add an info for each metric among some series."""
    for name in dict.fromkeys(metric_name(block.labels, int(row)) for row in np.unique(rows)):
        call.annotations.info(text + (f" for metric name {quote(name)}" if name else ""), node)


def _quantiles(call: CallContext, block: Block, q: Floats, node: Expr, mendings: Mendings) -> Block:
    where, buckets = _split(call, block, node)
    parts = []
    if where.any():
        spread = np.broadcast_to(q, where.shape)[where]
        values, spoilt, skewed = measure.quantile(_pool_at(block, where), spread)
        rows = np.nonzero(where)[0]
        text = "input to histogram_quantile has NaN observations, result is "
        _say_about(call, block, rows[spoilt], text + "NaN", node)
        _say_about(call, block, rows[skewed], text + "skewed higher", node)
        parts.append(_native(block, where, values))
    if buckets is not None and (buckets.number > 0).any():
        values, merged, mended = bucket_quantile(q, buckets)
        mendings.add(call, block, merged, mended, node)
        parts.append(_classic(block, buckets, values))
    return concat_blocks(parts) if parts else Block.empty(call.steps)


@function(
    "histogram_quantile",
    SCALAR,
    VECTOR,
    doc="Quantile of a histogram, interpolated within its bucket.",
)
def run_histogram_quantile(call: CallContext) -> Block:
    """See the table."""
    q = call.scalar(0)
    block = call.vector(1)
    warn_quantile(call.annotations, q, call.node.args[0])
    mendings = Mendings()
    out = _quantiles(call, block, q, call.node.args[1], mendings)
    mendings.say(call)
    return out


@function(
    "histogram_quantiles",
    VECTOR,
    STRING,
    SCALAR,
    SCALAR,
    variadic=9,
    doc="Several quantiles of a histogram, told apart by a label: (v, label, q...).",
)
def run_histogram_quantiles(call: CallContext) -> Block:
    """See the table."""
    block, label = call.vector(0), call.string(1)
    parts, mendings = [], Mendings()
    for i in range(2, len(call.node.args)):
        q = call.scalar(i)
        warn_quantile(call.annotations, q, call.node.args[i])
        found = _quantiles(call, block, q, call.node.args[0], mendings)
        for value in np.unique(q).tolist():
            at = (q == value) | (np.isnan(q) & np.isnan(value))
            part = replace(found, present=found.present & at).compact()
            column = LabelColumn(np.ones(part.size, dtype=np.int32), ["", _open_metrics(value)])
            parts.append(replace(part, labels=part.labels.with_column(label, column)))
    mendings.say(call)
    return concat_blocks(parts)


def _open_metrics(value: float) -> str:
    """Write a number as OpenMetrics wants it: with a point."""
    text = format_g(value)
    return text if any(c in text for c in "e.NI") else text + ".0"


@function(
    "histogram_fraction", SCALAR, SCALAR, VECTOR, doc="Share of observations between two values."
)
def run_histogram_fraction(call: CallContext) -> Block:
    """See the table."""
    lower, upper, block, node = call.scalar(0), call.scalar(1), call.vector(2), call.node.args[2]
    where, buckets = _split(call, block, node)
    parts = []
    if where.any():
        low, high = (np.broadcast_to(x, where.shape)[where] for x in (lower, upper))
        values, excluded = measure.fraction(_pool_at(block, where), low, high)
        text = "input to histogram_fraction has NaN observations, which are excluded from all fractions"
        _say_about(call, block, np.nonzero(where)[0][excluded], text, node)
        parts.append(_native(block, where, values))
    if buckets is not None and (buckets.number > 0).any():
        parts.append(_classic(block, buckets, bucket_fraction(lower, upper, buckets)))
    return concat_blocks(parts) if parts else Block.empty(call.steps)
