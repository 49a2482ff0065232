"""The *_over_time functions that look at each window's values without their order."""

from collections.abc import Callable

import numpy as np

from model.histogram.pool import HistogramColumn
from model.samples import Bools, Floats
from promql.block import Block
from promql.call import CallContext
from promql.functions.mixed import say_ignored
from promql.functions.quantiles import quantile_of_sorted, warn_quantile
from promql.functions.reduce import kahan, window_mean, window_reduce, window_sum
from promql.functions.table import MATRIX, SCALAR, function
from promql.histogram.over_time import histogram_windows
from promql.text import format_g
from promql.windows import Chunk, Windows

FloatWindows = Callable[[Chunk], Floats]


def float_function(
    call: CallContext, windows: Windows, change: FloatWindows, least: int = 1
) -> Block:
    """Apply a function of floats to each window with at least ``least`` of them; histograms are left out."""
    node = call.node.args[0]
    parts: list[tuple[Floats, Bools]] = []
    for whole in windows.chunks:
        chunk, had = whole.floats()
        count = chunk.count()
        with np.errstate(all="ignore"):
            values = change(chunk)
        parts.append((values, np.broadcast_to(count >= least, chunk.shape)))
        if had is not None:
            say_ignored(call, windows, whole, had & (count > 0), node)
    return window_block(call, windows, parts)


def window_block(
    call: CallContext, windows: Windows, parts: list[tuple[Floats, Bools]], *, drop: bool = True
) -> Block:
    """Make a vector of what each chunk gave."""
    values, present = windows.scatter(parts)
    gone = np.ones(windows.labels.size, dtype=bool) if drop else windows.drop_name
    return Block(windows.labels, values, present, gone).compact()


def _simple(name: str, doc: str, change: FloatWindows) -> None:
    @function(name, MATRIX, doc=doc)
    def run(call: CallContext) -> Block:
        return float_function(call, call.windows(0), change)


_simple(
    "max_over_time",
    "Greatest value in the range.",
    lambda chunk: window_reduce(chunk, np.fmax, np.nan),
)
_simple(
    "min_over_time",
    "Smallest value in the range.",
    lambda chunk: window_reduce(chunk, np.fmin, np.nan),
)


@function("sum_over_time", MATRIX, doc="Sum of the values in the range.")
def run_sum(call: CallContext) -> Block:
    """Histograms are added too; a mix gives nothing."""
    return histogram_windows(call, call.windows(0), window_sum, mean=False)


@function("avg_over_time", MATRIX, doc="Mean of the values in the range.")
def run_avg(call: CallContext) -> Block:
    """Histograms are averaged too; a mix gives nothing."""
    return histogram_windows(
        call, call.windows(0), lambda chunk: window_mean(chunk, chunk.count()), mean=True
    )


def _variance(chunk: Chunk) -> Floats:
    """Population variance; values are taken from the window's first, so that constants give 0."""
    out = np.empty(chunk.shape)
    for part, values, _, inside in chunk.cells():
        shifted = np.where(inside, values - values[..., :1], 0.0)
        count = np.maximum(inside.sum(axis=2), 1)
        mean = shifted.sum(axis=2) / count
        spread = np.where(inside, shifted - mean[..., None], 0.0)
        out[part] = (spread * spread).sum(axis=2) / count
    return out


_simple("stdvar_over_time", "Population variance of the values in the range.", _variance)
_simple(
    "stddev_over_time",
    "Population standard deviation of the values in the range.",
    lambda chunk: np.sqrt(_variance(chunk)),
)


def _sorted_quantile(values: Floats, inside: Bools, q: Floats) -> Floats:
    """Quantile over the last axis of (b, S, W); NaN counts as smallest."""
    nans = inside & np.isnan(values)
    keys = np.where(inside, np.where(nans, -np.inf, values), np.inf)
    return quantile_of_sorted(np.sort(keys, axis=2), inside.sum(axis=2), nans.sum(axis=2), q)


@function("quantile_over_time", SCALAR, MATRIX, doc="Quantile of the values in the range.")
def run_quantile(call: CallContext) -> Block:
    """Interpolates between the two nearest values."""
    q = call.scalar(0)
    windows = call.windows(1)

    def change(chunk: Chunk) -> Floats:
        out = np.empty(chunk.shape)
        for part, values, _, inside in chunk.cells():
            out[part] = _sorted_quantile(values, np.broadcast_to(inside, values.shape), q)
        return out

    block = float_function(call, windows, change)
    warn_quantile(call.annotations, q[np.any(block.present, axis=0)], call.node.args[0])
    return block


def _mad(chunk: Chunk) -> Floats:
    out = np.empty(chunk.shape)
    half = np.full(chunk.shape[1], 0.5)
    for part, values, _, inside in chunk.cells():
        here = np.broadcast_to(inside, values.shape)
        spoilt = (here & np.isnan(values)).any(axis=2)
        median = _sorted_quantile(values, here, half)
        away = _sorted_quantile(np.abs(values - median[..., None]), here, half)
        out[part] = np.where(spoilt, np.nan, away)
    return out


_simple("mad_over_time", "Median absolute deviation of the values in the range.", _mad)


@function("count_over_time", MATRIX, doc="Number of samples in the range.")
def run_count(call: CallContext) -> Block:
    """Histograms count too."""
    windows = call.windows(0)
    parts = [(c.count().astype(np.float64), c.count() > 0) for c in windows.chunks]
    return window_block(call, windows, parts)


@function("present_over_time", MATRIX, doc="1 for each series with a sample in the range.")
def run_present(call: CallContext) -> Block:
    """Histograms count too."""
    windows = call.windows(0)
    parts = [(np.ones((1, 1)), c.count() > 0) for c in windows.chunks]
    return window_block(call, windows, parts)


def _pick(call: CallContext, *, last: bool) -> Block:
    """Return the first or last sample of each window, whatever kind it is; names stay."""
    windows = call.windows(0)
    parts: list[tuple[Floats, Bools]] = []
    index: list[tuple[Floats, Bools]] = []
    for chunk in windows.chunks:
        at = chunk.high - 1 if last else chunk.low
        here = chunk.count() > 0
        parts.append((chunk.value_at(at), here))
        if windows.pool is not None:
            found = np.full((1, 1), -1) if chunk.hist is None else chunk.gather(chunk.hist, at)
            index.append((np.asarray(found, dtype=np.float64), here))
    block = window_block(call, windows, parts, drop=False) if windows.pool is None else None
    if block is not None:
        return block
    values, present = windows.scatter(parts)
    rows = windows.scatter(index)[0].astype(np.int32)
    assert windows.pool is not None
    column = HistogramColumn(np.where(present, rows, np.int32(-1)), windows.pool)
    return Block(windows.labels, values, present, windows.drop_name, column).compact()


@function("last_over_time", MATRIX, doc="Most recent sample in the range; the name stays.")
def run_last(call: CallContext) -> Block:
    """See the table."""
    return _pick(call, last=True)


@function("first_over_time", MATRIX, doc="Oldest sample in the range; the name stays.")
def run_first(call: CallContext) -> Block:
    """See the table."""
    return _pick(call, last=False)


def _edge_time(call: CallContext, *, last: bool) -> Block:
    windows = call.windows(0)
    parts = [
        (c.time_at(c.high - 1 if last else c.low) / 1000, c.count() > 0) for c in windows.chunks
    ]
    return window_block(call, windows, parts)


@function("ts_of_last_over_time", MATRIX, doc="Time of the most recent sample in the range.")
def run_ts_of_last(call: CallContext) -> Block:
    """See the table."""
    return _edge_time(call, last=True)


@function("ts_of_first_over_time", MATRIX, doc="Time of the oldest sample in the range.")
def run_ts_of_first(call: CallContext) -> Block:
    """See the table."""
    return _edge_time(call, last=False)


def _time_of(chunk: Chunk, best: FloatWindows) -> Floats:
    """Time of the last value that equals the window's best; the last sample where all are NaN."""
    extreme = best(chunk)
    out = np.empty(chunk.shape)
    for part, values, times, inside in chunk.cells():
        hit = inside & ((values == extreme[part][..., None]) | np.isnan(extreme[part])[..., None])
        out[part] = np.where(hit, times, np.iinfo(np.int64).min).max(axis=2) / 1000
    return out


_simple(
    "ts_of_max_over_time",
    "Time of the greatest value in the range, the last one if it occurs again.",
    lambda chunk: _time_of(chunk, lambda c: window_reduce(c, np.fmax, np.nan)),
)
_simple(
    "ts_of_min_over_time",
    "Time of the smallest value in the range, the last one if it occurs again.",
    lambda chunk: _time_of(chunk, lambda c: window_reduce(c, np.fmin, np.nan)),
)

_LEFT, _RIGHT, _MIDDLE = 0.0, 1.0, 2.0


@function("integral", MATRIX, SCALAR, variadic=1, doc="Value times seconds, summed over the range.")
def run_integral(call: CallContext) -> Block:
    """The rule is 0 (left), 1 (right) or 2 (middle, the default); NaN counts as 0."""
    rule = call.scalar(1) if len(call.node.args) > 1 else np.full(call.steps, _MIDDLE)
    odd = ~np.isin(rule, (_LEFT, _RIGHT, _MIDDLE))
    left = np.where(rule == _LEFT, 1.0, np.where(rule == _RIGHT, 0.0, 0.5))[:, None]

    def change(chunk: Chunk) -> Floats:
        out = np.zeros(chunk.shape)
        for part, values, times, inside in chunk.cells():
            known = np.where(np.isnan(values), 0.0, values)
            before, after = known[..., :-1], known[..., 1:]
            before = np.where(inside[..., 1:], before, 0.0)  # endless times nothing is NaN
            seconds = np.where(inside[..., 1:], np.diff(times, axis=2) / 1000, 0.0)
            # both halves apart, so that nothing is lost where large values cancel
            from_left = np.where(left > 0, before * (seconds * left), 0.0)
            from_right = np.where(left < 1, after * (seconds * (1 - left)), 0.0)
            both = np.concatenate([from_left, from_right], axis=2)
            both[..., 0::2], both[..., 1::2] = from_left, from_right
            out[part] = kahan(both)
        return out

    block = float_function(call, call.windows(0), change)
    here = np.any(block.present, axis=0)
    for value in dict.fromkeys(map(format_g, rule[odd & here].tolist())):
        text = f"strategy should be 0, 1, or 2 (default), using 2, got {value}"
        call.annotations.warn(text, call.node.args[1])
    return block
