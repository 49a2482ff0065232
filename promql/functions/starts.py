"""Start timestamps: what they say about counter resets (``isStartTimestampReset`` upstream)."""

import numpy as np

from model.samples import Bools, Ints
from model.steady import steady
from promql.call import CallContext
from promql.functions.mixed import names_of
from promql.text import quote
from promql.windows import Chunk, Windows


def _pairs(chunk: Chunk) -> tuple[Ints, Ints, Ints, Ints]:
    """Return ``(start before, time before, start, time)`` of each pair of samples, shape (k, N - 1) each."""
    assert chunk.start_ms is not None
    times, starts = chunk.ts_ms[chunk.ts_row], chunk.start_ms
    return starts[:, :-1], times[:, :-1], starts[:, 1:], times[:, 1:]


def begins_anew(start_before: Ints, before: Ints, start: Ints, now: Ints) -> Bools:
    """Tell, of pairs of samples given by start timestamp and time, which second one began counting anew."""
    # the same start as before is the same life of the counter, however odd it looks
    known = (start != 0) & (start < now) & (start != start_before)
    # a start at the sample before is a delta series, unless that one's own start is unknown
    delta = (start == before) & (start_before != 0) & (start_before < before)
    out: Bools = known & ((start > before) | delta)
    return out


def begun_after(time_ms: Ints, start: Ints, now: Ints) -> Bools:
    """Tell which samples began counting behind a time."""
    out: Bools = (start > time_ms) & (start != 0) & (start < now)
    return out


def start_resets(chunk: Chunk) -> Bools:
    """Tell which samples (k, N) began counting anew after the one before."""
    out = np.zeros(chunk.values.shape, dtype=bool)
    if chunk.start_ms is not None and not steady(chunk.start_ms):
        out[:, 1:] = begins_anew(*_pairs(chunk))
    return out


def say_overlaps(call: CallContext, windows: Windows, chunk: Chunk, where: Bools) -> None:
    """Warn of samples that claim to have begun before the sample before them, once for each window."""
    if chunk.start_ms is None or steady(chunk.start_ms):
        return
    start_before, before, start, _ = _pairs(chunk)
    marks = np.zeros(chunk.values.shape, dtype=bool)
    marks[:, 1:] = (start != 0) & (start < before) & (start != start_before)
    if not marks.any():
        return
    hit = where & (chunk.over(marks, chunk.low + 1, chunk.high) > 0)
    for name in names_of(windows, chunk, hit):
        text = f"sample has start time that overlaps with previous sample timestamp for metric {quote(name)}"
        rows = [row for row in range(len(chunk.rows)) if hit[row].any()]
        call.annotations.warn_counted(text, call.node.args[0], int(hit[rows].sum()))


def no_start_inside(windows: Windows, start_ms: Ints) -> bool:
    """Tell whether all series began before the first window; a look at the newest start alone."""
    starts = start_ms[:, :1] if steady(start_ms) else start_ms
    return int(starts.max(initial=0)) <= int(windows.starts_ms.min(initial=2**62))


def starts_inside(windows: Windows, chunk: Chunk) -> tuple[Bools, Ints] | None:
    """Tell which windows hold the start of their first sample, and that start; (k, S) each, None for none at all."""
    if chunk.start_ms is None or no_start_inside(windows, chunk.start_ms):
        return None
    start: Ints = chunk.gather(chunk.start_ms, chunk.low)
    first = chunk.time_at(chunk.low)
    inside = (start != 0) & (start > windows.starts_ms) & (start < first) & (chunk.count() > 0)
    return (inside, start) if inside.any() else None
