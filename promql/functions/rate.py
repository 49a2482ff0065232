"""The rate family: how counters rise and gauges move over a window.

Extrapolation to the edges of the window is Prometheus's (``promql/functions.go extrapolatedRate``).
"""

import numpy as np

from model.labels import METRIC_NAME
from model.samples import Bools, Floats, Ints
from promql.block import Block
from promql.call import CallContext
from promql.functions.mixed import say_mixed
from promql.functions.over_time import window_block
from promql.functions.table import MATRIX, function
from promql.text import quote
from promql.windows import Chunk, Windows

_COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")
_NO_COUNTER = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "


def resets(values: Floats) -> Floats:
    """Return, at each sample that is lower than the one before, the one before; else 0. Shape as given."""
    out = np.zeros_like(values)
    with np.errstate(invalid="ignore"):
        fell = values[:, 1:] < values[:, :-1]
    if fell.any():
        out[:, 1:] = np.where(fell, values[:, :-1], 0.0)
    return out


def _rise(chunk: Chunk, *, counter: bool) -> tuple[Floats, Floats]:
    """Return ``(rise, first)``: what the values gained over each window, and where they began."""
    first, last = chunk.value_at(chunk.low), chunk.value_at(chunk.high - 1)
    rise = last - first
    if counter:
        marks = resets(chunk.values)
        if marks.any():
            rise = rise + chunk.over(marks, chunk.low + 1, chunk.high)
    return rise, first


def _factor(
    windows: Windows, chunk: Chunk, rise: Floats, first: Floats, *, counter: bool
) -> Floats:
    """Return what the sampled rise is multiplied by to stand for the whole window."""
    first_ms, last_ms = chunk.time_at(chunk.low), chunk.time_at(chunk.high - 1)
    sampled = (last_ms - first_ms) / 1000
    between = sampled / np.maximum(chunk.count() - 1, 1)
    threshold = between * 1.1
    to_start = (first_ms - windows.starts_ms) / 1000
    to_start = np.where(to_start >= threshold, between / 2, to_start)
    to_end = (windows.ends_ms - last_ms) / 1000
    to_end = np.where(to_end >= threshold, between / 2, to_end)
    if counter:
        # a counter does not begin below zero
        to_zero = sampled * (first / rise)
        nearer = (rise > 0) & (first >= 0) & (to_zero < to_start)
        to_start = np.where(nearer, to_zero, to_start)
    return (sampled + to_start + to_end) / sampled


def _extrapolated(call: CallContext, *, counter: bool, per_second: bool) -> Block:
    windows = call.windows(0)
    parts: list[tuple[Floats, Bools]] = []
    for whole in windows.chunks:
        chunk, had = whole.floats()
        count = chunk.count()
        here: Bools = np.broadcast_to(count >= 2, chunk.shape)
        if had is not None:
            mixed = had & (count > 0)
            say_mixed(call, windows, whole, mixed, call.node.args[0])
            here = here & ~mixed
        with np.errstate(all="ignore"):
            rise, first = _rise(chunk, counter=counter)
            values = rise * _factor(windows, chunk, rise, first, counter=counter)
            if per_second:
                values /= windows.range_ms / 1000
        parts.append((values, here))
    block = window_block(call, windows, parts)
    if counter:
        _say_no_counter(call, block)
    return block


def _say_no_counter(call: CallContext, block: Block) -> None:
    """Tell which names do not look like a counter's; type labels are believed where there are any."""
    names = block.labels.columns.get(METRIC_NAME)
    if names is None:
        return
    rows = block.floats.any(axis=1)
    if "__type__" in block.labels.columns:
        kinds = block.labels.columns["__type__"]
        for code, kind_code in {
            *zip(names.codes[rows].tolist(), kinds.codes[rows].tolist(), strict=True)
        }:
            name, kind = names.values[code], kinds.values[kind_code]
            if name and kind not in ("counter", "histogram"):
                text = 'metric might not be a counter, __type__ label is not set to "counter" or "histogram", '
                call.annotations.info(f"{text}got {quote(kind)}: {quote(name)}", call.node.args[0])
        return
    for code in dict.fromkeys(names.codes[rows].tolist()):
        name = names.values[code]
        if name and not name.endswith(_COUNTER_SUFFIXES):
            call.annotations.info(_NO_COUNTER + quote(name), call.node.args[0])


@function(
    "rate", MATRIX, doc="Per-second rise of a counter over the range, resets taken into account."
)
def run_rate(call: CallContext) -> Block:
    """See the table."""
    return _extrapolated(call, counter=True, per_second=True)


@function("increase", MATRIX, doc="Rise of a counter over the range, resets taken into account.")
def run_increase(call: CallContext) -> Block:
    """See the table."""
    return _extrapolated(call, counter=True, per_second=False)


@function("delta", MATRIX, doc="Difference of a gauge between the ends of the range.")
def run_delta(call: CallContext) -> Block:
    """See the table."""
    return _extrapolated(call, counter=False, per_second=False)


def _instant(call: CallContext, *, rate: bool) -> Block:
    windows = call.windows(0)
    parts: list[tuple[Floats, Bools]] = []
    for whole in windows.chunks:
        chunk, had = whole.floats()
        last, before = chunk.value_at(chunk.high - 1), chunk.value_at(chunk.high - 2)
        elapsed: Ints = chunk.time_at(chunk.high - 1) - chunk.time_at(chunk.high - 2)
        with np.errstate(all="ignore"):
            values = last - before
            if rate:
                values = np.where(last < before, last, values) / (elapsed / 1000)
        here: Bools = np.broadcast_to((chunk.count() >= 2) & (elapsed > 0), chunk.shape)
        if had is not None:
            mixed = had & (chunk.count() > 0)
            say_mixed(call, windows, whole, mixed, call.node.args[0])
            here = here & ~mixed
        parts.append((values, here))
    return window_block(call, windows, parts)


@function("irate", MATRIX, doc="Per-second rise between the last two samples of the range.")
def run_irate(call: CallContext) -> Block:
    """See the table."""
    return _instant(call, rate=True)


@function("idelta", MATRIX, doc="Difference of the last two samples of the range.")
def run_idelta(call: CallContext) -> Block:
    """See the table."""
    return _instant(call, rate=False)


def _count_steps(call: CallContext, *, falls: bool) -> Block:
    """Count where a sample differs from (is lower than) the one before; a change of kind counts."""
    windows = call.windows(0)
    parts: list[tuple[Floats, Bools]] = []
    for chunk in windows.chunks:
        before, after = chunk.values[:, :-1], chunk.values[:, 1:]
        with np.errstate(invalid="ignore"):
            if falls:
                hit = after < before
            else:
                hit = (after != before) & ~(np.isnan(after) & np.isnan(before))
        marks = np.zeros(chunk.values.shape)
        marks[:, 1:] = hit
        here = np.broadcast_to(chunk.count() > 0, chunk.shape)
        parts.append((chunk.over(marks, chunk.low + 1, chunk.high), here))
    return window_block(call, windows, parts)


@function("changes", MATRIX, doc="How often the value changed in the range.")
def run_changes(call: CallContext) -> Block:
    """NaN does not differ from NaN."""
    return _count_steps(call, falls=False)


@function("resets", MATRIX, doc="How often a counter was reset in the range.")
def run_resets(call: CallContext) -> Block:
    """See the table."""
    return _count_steps(call, falls=True)
