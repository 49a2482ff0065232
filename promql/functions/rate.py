"""The rate family: how counters rise and gauges move over a window.

Extrapolation to the edges of the window is Prometheus's (``promql/functions.go extrapolatedRate``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from model.labels import METRIC_NAME
from model.samples import Bools, Floats, Ints
from promql.block import Block
from promql.call import CallContext
from promql.functions.mixed import say_mixed
from promql.functions.starts import say_overlaps, start_resets, starts_inside
from promql.functions.table import MATRIX, function
from promql.histogram.arithmetic import divided, scaled
from promql.histogram.over_time import WindowResults, only_histograms
from promql.histogram.rate import Task, instant_difference, rise_with_starts
from promql.text import quote
from promql.windows import Chunk, Windows

_COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")
_NO_COUNTER = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "


def resets(chunk: Chunk) -> Floats:
    """Return, at each sample (k, N) where the counter began anew, the value before; else 0."""
    values = chunk.values
    out = np.zeros_like(values)
    with np.errstate(invalid="ignore"):
        fell = values[:, 1:] < values[:, :-1]
    if chunk.start_ms is not None:
        fell = fell | start_resets(chunk)[:, 1:]
    if fell.any():
        out[:, 1:] = np.where(fell, values[:, :-1], 0.0)
    return out


def _rise(chunk: Chunk, *, counter: bool) -> tuple[Floats, Floats]:
    """Return ``(rise, first)``: what the values gained over each window, and where they began."""
    first, last = chunk.value_at(chunk.low), chunk.value_at(chunk.high - 1)
    rise = last - first
    if counter:
        marks = resets(chunk)
        if marks.any():
            rise = rise + chunk.over(marks, chunk.low + 1, chunk.high)
    return rise, first


@dataclass(frozen=True, slots=True)
class Edges:
    """The times a rate is worked out from; broadcasts to (k, S)."""

    first_ms: Ints
    last_ms: Ints
    count: Ints
    inside: Bools
    start: Ints

    def at(self, where: Bools) -> "Edges":
        """Return the times of some windows, one after the other."""

        def pick(array: Any) -> Any:
            return np.broadcast_to(array, where.shape)[where]

        return Edges(
            pick(self.first_ms),
            pick(self.last_ms),
            pick(self.count),
            pick(self.inside),
            pick(self.start),
        )


def edges(windows: Windows, chunk: Chunk, *, counter: bool) -> Edges:
    """Return the times of the first and last sample of each window, and starts that lie in it."""
    inside, start = starts_inside(windows, chunk)
    if not counter:
        inside = np.zeros_like(inside)
    first, last = chunk.time_at(chunk.low), chunk.time_at(chunk.high - 1)
    return Edges(first, last, chunk.count(), inside, start)


def factor(windows: Windows, at: Edges, rise: Floats, first: Floats, *, counter: bool) -> Floats:
    """Return what the sampled rise is multiplied by to stand for the whole window."""
    sampled = (at.last_ms - at.first_ms) / 1000
    between = sampled / np.maximum(at.count - 1, 1)
    threshold = between * 1.1
    to_start = (at.first_ms - windows.starts_ms) / 1000
    to_start = np.where(to_start >= threshold, between / 2, to_start)
    to_end = (windows.ends_ms - at.last_ms) / 1000
    to_end = np.where(to_end >= threshold, between / 2, to_end)
    if counter:
        # a counter does not begin below zero
        to_zero = sampled * (first / rise)
        nearer = (rise > 0) & (first >= 0) & (to_zero < to_start)
        to_start = np.where(nearer, to_zero, to_start)
    if at.inside.any():
        sampled = np.where(at.inside, (at.last_ms - at.start) / 1000, sampled)
        to_start = np.where(at.inside, 0.0, to_start)
    return np.where(sampled == 0, 1.0, (sampled + to_start + to_end) / sampled)


def _extrapolated(call: CallContext, *, counter: bool, per_second: bool) -> Block:
    windows = call.windows(0)
    out = WindowResults(windows)
    seconds = windows.range_ms / 1000 if per_second else 1.0
    for whole in windows.chunks:
        chunk, had = whole.floats()
        count = chunk.count()
        at = edges(windows, chunk, counter=counter)
        here: Bools = np.broadcast_to((count >= 2) | at.inside, chunk.shape)
        if had is not None:
            mixed = had & (count > 0)
            say_mixed(call, windows, whole, mixed, call.node.args[0])
            here = here & ~mixed
        if here.any():
            with np.errstate(all="ignore"):
                rise, first = _rise(chunk, counter=counter)
                if at.inside.any():
                    # the counter began within the window, from zero
                    rise = rise + np.where(at.inside, first, 0.0)
                values = rise * factor(windows, at, rise, first, counter=counter)
                out.floats(whole, values / seconds, here)
            if counter:
                say_overlaps(call, windows, chunk, here)
        if had is not None:
            _histograms(call, windows, whole, out, counter=counter, seconds=seconds)
    block = out.block()
    if counter:
        _say_no_counter(call, block)
    return block


def _histograms(
    call: CallContext,
    windows: Windows,
    whole: Chunk,
    out: WindowResults,
    *,
    counter: bool,
    seconds: float,
) -> None:
    chunk, had_floats = only_histograms(whole)
    at = edges(windows, chunk, counter=counter)
    where = np.broadcast_to((chunk.count() >= 2) | at.inside, chunk.shape) & ~had_floats
    if not where.any():
        return
    found = rise_with_starts(Task(call, windows, chunk, counter), where, at.inside)
    where = found.where
    cells = at.at(where)
    steps = np.nonzero(where)[1]
    at_steps = Windows(
        windows.labels,
        windows.drop_name,
        (),
        windows.starts_ms[steps],
        windows.ends_ms[steps],
        windows.range_ms,
    )
    with np.errstate(all="ignore"):
        by = factor(at_steps, cells, found.pool.count, found.first_count, counter=counter) / seconds
    out.histograms(whole, where, scaled(found.pool, by))
    if counter:
        say_overlaps(call, windows, chunk, where)


def _say_no_counter(call: CallContext, block: Block) -> None:
    """Tell which names do not look like a counter's; type labels are believed where there are any."""
    names = block.labels.columns.get(METRIC_NAME)
    if names is None:
        return
    rows = block.floats.any(axis=1)
    kinds = block.labels.columns.get("__type__")
    if kinds is not None:
        pairs = zip(names.codes[rows].tolist(), kinds.codes[rows].tolist(), strict=True)
        for code, kind_code in dict.fromkeys(pairs):
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
    out = WindowResults(windows)
    for chunk in windows.chunks:
        last, before = chunk.value_at(chunk.high - 1), chunk.value_at(chunk.high - 2)
        elapsed: Ints = chunk.time_at(chunk.high - 1) - chunk.time_at(chunk.high - 2)
        here: Bools = np.broadcast_to((chunk.count() >= 2) & (elapsed > 0), chunk.shape)
        floats = here
        if chunk.hist is not None:
            kinds = [chunk.gather(chunk.hist, chunk.high - i) >= 0 for i in (1, 2)]
            floats = here & ~kinds[0] & ~kinds[1]
            node = call.node.args[0]
            say_mixed(call, windows, chunk, here & (kinds[0] != kinds[1]), node)
            both = here & kinds[0] & kinds[1]
            where, pool = instant_difference(Task(call, windows, chunk, rate), both)
            seconds = np.broadcast_to(elapsed / 1000, chunk.shape)[where]
            out.histograms(chunk, where, divided(pool, seconds) if rate else pool)
        with np.errstate(all="ignore"):
            values = last - before
            if rate:
                anew = last < before
                if chunk.start_ms is not None:
                    anew = anew | chunk.gather(start_resets(chunk), chunk.high - 1)
                values = np.where(anew, last, values) / (elapsed / 1000)
        out.floats(chunk, values, floats)
    return out.block()


@function("irate", MATRIX, doc="Per-second rise between the last two samples of the range.")
def run_irate(call: CallContext) -> Block:
    """See the table."""
    return _instant(call, rate=True)


@function("idelta", MATRIX, doc="Difference of the last two samples of the range.")
def run_idelta(call: CallContext) -> Block:
    """See the table."""
    return _instant(call, rate=False)
