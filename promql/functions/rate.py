"""The rate family: how counters rise and gauges move over a window."""

import numpy as np
from msgspec.structs import replace

from model.labels import METRIC_NAME, LabelTable
from model.samples import Bools, Floats, Ints
from model.steady import steady
from promql.annotations import Annotations
from promql.ast import Call
from promql.block import Block
from promql.call import CallContext
from promql.functions.edges import Edges, begun_inside, edges, factor
from promql.functions.extended import extended_rise
from promql.functions.mixed import say_mixed
from promql.functions.starts import say_overlaps, start_resets, starts_inside
from promql.functions.table import MATRIX, function
from promql.histogram.arithmetic import divided, scaled
from promql.histogram.over_time import WindowResults, only_histograms
from promql.histogram.plain import PlainRates
from promql.histogram.rate import Task, instant_difference, rise_with_starts
from promql.text import quote
from promql.windows import Chunk, Windows

_COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")
_NO_COUNTER = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "


def resets(chunk: Chunk) -> Floats | None:
    """Return, at each sample (k, N) where the counter began anew, the value before; else 0. None for no reset."""
    values = chunk.values
    with np.errstate(invalid="ignore"):
        fell = values[:, 1:] < values[:, :-1]
    if chunk.start_ms is not None and not steady(chunk.start_ms):
        fell = fell | start_resets(chunk)[:, 1:]
    if not fell.any():
        return None
    out = np.zeros_like(values)
    out[:, 1:] = np.where(fell, values[:, :-1], 0.0)
    return out


def _rise(chunk: Chunk, *, counter: bool) -> tuple[Floats, Floats]:
    """Return ``(rise, first)``: what the values gained over each window, and where they began."""
    first, last = chunk.value_at(chunk.low), chunk.value_at(chunk.high - 1)
    rise = last - first
    if counter:
        marks = resets(chunk)
        if marks is not None:
            rise = rise + chunk.over(marks, chunk.low + 1, chunk.high)
    return rise, first


def _rise_over(call: CallContext, *, counter: bool, per_second: bool) -> Block:
    windows = call.windows(0)
    kind = {"counter": counter, "per_second": per_second}
    if windows.extension is None:
        block = _extrapolated(call, windows, **kind)
    else:
        block = extended_rise(call, windows, windows.extension, **kind)
    if counter:
        rows: Bools = np.any(block.floats, axis=1)
        say_no_counter(call.annotations, call.node, block.labels, rows)
    return block


def _extrapolated(call: CallContext, windows: Windows, *, counter: bool, per_second: bool) -> Block:
    out = WindowResults(windows)
    seconds = windows.range_ms / 1000 if per_second else 1.0
    for whole in windows.chunks:
        plain = PlainRates.of(windows, whole, seconds) if counter else None
        if plain is not None:
            out.histograms(whole, np.broadcast_to(plain.here, whole.shape), plain.pool())
            continue
        chunk, had = whole.floats()
        begun = starts_inside(windows, chunk) if counter else None
        count = chunk.count()
        here: Bools = count >= 2 if begun is None else (count >= 2) | begun[0]
        if had is not None:
            mixed = had & (count > 0)
            say_mixed(call, windows, whole, mixed, call.node.args[0])
            here = here & ~mixed
        here = np.broadcast_to(here, chunk.shape)
        if here.any():
            with np.errstate(all="ignore"):
                at = edges(windows, chunk)
                rise, first = _rise(chunk, counter=counter)
                if begun is not None:
                    # the counter began within the window, from zero
                    rise = rise + np.where(begun[0], first, 0.0)
                    at = begun_inside(at, windows, chunk, *begun)
                values = factor(at, rise, first, counter=counter)
                values /= seconds  # first, as Prometheus does: the last digit shows it
                values *= rise
                out.floats(whole, values, here)
            if counter:
                say_overlaps(call, windows, chunk, here)
        if had is not None:
            _histograms(Task(call, windows, whole, counter), out, seconds)
    return out.block()


def _histograms(whole: Task, out: WindowResults, seconds: float) -> None:
    chunk, had_floats = only_histograms(whole.chunk)
    task = replace(whole, chunk=chunk)
    begun = starts_inside(task.windows, chunk) if task.counter else None
    inside = np.zeros(chunk.shape, dtype=bool) if begun is None else begun[0]
    where = ((chunk.count() >= 2) | inside) & ~had_floats
    if not where.any():
        return
    found = rise_with_starts(task, where, inside)
    with np.errstate(all="ignore"):
        at = edges(task.windows, chunk)
        if begun is not None:
            at = begun_inside(at, task.windows, chunk, *begun)

        def pick(array: Floats) -> Floats:
            return np.broadcast_to(at.spread(array), chunk.shape)[found.where]

        cells = Edges(pick(at.sampled), pick(at.to_start), pick(at.to_end))
        by = factor(cells, found.pool.count, found.first_count, counter=task.counter) / seconds
    out.histograms(task.chunk, found.where, scaled(found.pool, by))
    if task.counter:
        say_overlaps(task.call, task.windows, chunk, found.where)


def say_no_counter(annotations: Annotations, node: Call, labels: LabelTable, rows: Bools) -> None:
    """Tell which names do not look like a counter's.

    Args:
        annotations: Takes what is said.
        node: The call.
        labels: The series.
        rows: Which of them have a float at any step.
    """
    names = labels.columns.get(METRIC_NAME)
    if names is None:
        return
    codes = (
        labels.once("names", lambda: list(dict.fromkeys(names.codes.tolist())))
        if rows.all()
        else list(dict.fromkeys(names.codes[rows].tolist()))
    )
    for code in codes:
        name = names.values[code]
        if name and not name.endswith(_COUNTER_SUFFIXES):
            annotations.info(_NO_COUNTER + quote(name), node.args[0])


@function(
    "rate", MATRIX, doc="Per-second rise of a counter over the range, resets taken into account."
)
def run_rate(call: CallContext) -> Block:
    """See the table."""
    return _rise_over(call, counter=True, per_second=True)


@function("increase", MATRIX, doc="Rise of a counter over the range, resets taken into account.")
def run_increase(call: CallContext) -> Block:
    """See the table."""
    return _rise_over(call, counter=True, per_second=False)


@function("delta", MATRIX, doc="Difference of a gauge between the ends of the range.")
def run_delta(call: CallContext) -> Block:
    """See the table."""
    return _rise_over(call, counter=False, per_second=False)


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
