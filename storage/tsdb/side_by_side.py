"""The parts that several sources have of a selection, put side by side without looking at a sample.

Works where the parts of each series follow one another in time, which is what stores usually hold;
where they overlap it says so, and ``merge`` sorts them sample by sample.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.samples import Ints
from model.steady import spread, steady
from storage.tsdb.parts import Cells, Part
from storage.tsdb.stack import Stack

_LOWEST = np.iinfo(np.int64).min
_P = np.uint64(0x100000001B3)
_SPREAD = 0x9E3779B97F4A7C15
_MIX = 0xBF58476D1CE4E5B9
_MOST_KINDS = 64
_WORD = 2**64 - 1
_GAPS, _STARTS, _HISTOGRAMS = 1, 2, 4  # what a series has, in the number of its shape
_SHAPE_BITS = 3

Index = npt.NDArray[np.int64]


def lay_out(size: int, parts: Sequence[Part]) -> list[Part] | None:
    """Put parts side by side.

    Args:
        size: Number of series.
        parts: What the sources have of them.

    Returns:
        Parts of which no two have the same series; or None if parts of one series overlap in a way
        that must be looked at sample by sample.
    """
    if not parts:
        return []
    found: list[Part] | None
    parts = _on_one_stack(parts)
    in_time = sorted(parts, key=lambda part: int(part.ts_ms[0, 0]))
    if all(_same(part.pos, parts[0].pos) for part in parts[1:]):
        found = None if _overlap(in_time) else [_joined(in_time)]
    else:
        found = _filled(size, in_time)
    return _kind_by_kind(size, parts) if found is None else found


def _on_one_stack(parts: Sequence[Part]) -> Sequence[Part]:
    """Let the histograms of all parts count through the pools of all; no histogram is moved."""
    stacks = {id(p.cells.histograms.pools): p.cells.histograms for p in parts if p.cells.histograms}
    if len(stacks) < 2:
        return parts
    pools = tuple(pool for stack in stacks.values() for pool in stack.pools)
    before = itertools.accumulate((stack.rows for stack in stacks.values()), initial=0)
    offsets = dict(zip(stacks, before, strict=False))
    out = []
    for part in parts:
        stack = part.cells.histograms
        if stack is None:
            out.append(part)
            continue
        offset = np.int32(offsets[id(stack.pools)])
        index = np.where(stack.index >= 0, stack.index + offset, np.int32(-1))
        cells = part.cells
        cells = Cells(cells.values, cells.dense, cells.start_ms, Stack(index, pools))
        out.append(Part(part.pos, part.ts_ms, part.ts_row, cells))
    return out


def _same(one: Index, other: Index) -> bool:
    return one is other or (len(one) == len(other) and bool((one == other).all()))


def _overlap(parts: Sequence[Part]) -> bool:
    """Tell whether parts of the same series, in order of time, overlap."""
    for part, after in itertools.pairwise(parts):
        last, begins = part.ts_ms[:, -1], after.ts_ms[:, 0]
        if last.max() >= begins.min() and (last[part.ts_row] >= begins[after.ts_row]).any():
            return True
    return False


def _joined(parts: Sequence[Part]) -> Part:
    """Join parts of the same series."""
    first = parts[0]
    if len(parts) == 1:
        return first
    cells = _joined_cells([part.cells for part in parts])
    if all(len(part.ts_ms) == 1 for part in parts):
        ts_ms = np.concatenate([part.ts_ms for part in parts], axis=1)
        return Part(first.pos, ts_ms, first.ts_row, cells)
    kind = np.zeros(len(first.pos), dtype=np.uint64)
    for part in parts:
        kind = kind * _P + part.ts_row.astype(np.uint64) * np.uint64(_SPREAD)
    _, example, ts_row = np.unique(kind, return_index=True, return_inverse=True)
    ts_ms = np.concatenate([part.ts_ms[part.ts_row[example]] for part in parts], axis=1)
    return Part(first.pos, ts_ms, ts_row.reshape(-1).astype(np.int32), cells)


def _joined_cells(cells: Sequence[Cells]) -> Cells:
    """Put matrices of the same series behind one another."""
    values = np.concatenate([one.values for one in cells], axis=1)
    start, histograms = None, None
    if any(one.start_ms is not None for one in cells):
        start = _joined_starts([_starts_of(one) for one in cells])
    pools = next((one.histograms.pools for one in cells if one.histograms), None)
    if pools is not None:
        index = [
            np.full(one.values.shape, -1, dtype=np.int32)
            if one.histograms is None
            else one.histograms.index
            for one in cells
        ]
        histograms = Stack(np.concatenate(index, axis=1), pools)
    return Cells(values, all(one.dense for one in cells), start, histograms)


def _starts_of(cells: Cells) -> Ints:
    if cells.start_ms is not None:
        return cells.start_ms
    return spread(np.zeros(len(cells.values), dtype=np.int64), cells.values.shape[1])


def _joined_starts(parts: Sequence[Ints]) -> Ints:
    first = parts[0][:, 0]
    if all(steady(part) and (part[:, 0] == first).all() for part in parts):
        return spread(first, sum(part.shape[1] for part in parts))
    return np.concatenate(parts, axis=1)


def _filled(size: int, parts: Sequence[Part]) -> list[Part] | None:
    """Write parts of different series into one matrix for each shape; None if some overlap."""
    kind = np.zeros(size, dtype=np.uint64)
    last = np.full(size, _LOWEST, dtype=np.int64)
    length = np.zeros(size, dtype=np.int64)
    has = np.zeros(size, dtype=np.int64)
    for number, part in enumerate(parts):
        pos, ts_row, cells = part.pos, part.ts_row, part.cells
        many = len(part.ts_ms) > 1
        if (last[pos] >= (part.ts_ms[ts_row, 0] if many else part.ts_ms[0, 0])).any():
            return None
        last[pos] = part.ts_ms[ts_row, -1] if many else part.ts_ms[0, -1]
        length[pos] += part.ts_ms.shape[1]
        mark = np.uint64((number + 1) * _SPREAD & _WORD)
        kind[pos] = kind[pos] * _P + (mark + ts_row.astype(np.uint64) if many else mark)
        own = _GAPS * (not cells.dense) | _STARTS * (cells.start_ms is not None)
        own |= _HISTOGRAMS * (cells.histograms is not None)
        if own:
            has[pos] |= own
    alone = next((part for part in parts if _fills(part, length)), None)
    if alone is not None:  # most of the answer, whole as it is
        return [alone, *(_filled(size, [part for part in parts if part is not alone]) or [])]
    here = np.flatnonzero(length)
    shapes, shape_of_here = np.unique(length[here] << _SHAPE_BITS | has[here], return_inverse=True)
    shape_of = np.full(size, -1, dtype=np.int64)
    shape_of[here] = shape_of_here.reshape(-1)
    begin = _common_starts(size, parts)
    pools = next((part.cells.histograms.pools for part in parts if part.cells.histograms), ())
    row = np.zeros(size, dtype=np.int64)
    time_row = np.zeros(size, dtype=np.int64)
    example = np.zeros(size, dtype=np.bool_)
    made: list[Part] = []
    for number, shape in enumerate(shapes.tolist()):
        series = here if len(shapes) == 1 else np.flatnonzero(shape_of == number)
        _, first, own_row = np.unique(kind[series], return_index=True, return_inverse=True)
        own_row = own_row.reshape(-1)
        row[series] = np.arange(len(series))
        time_row[series] = own_row
        example[series[first]] = True
        width = shape >> _SHAPE_BITS
        matrix = (len(series), width)
        start, histograms = None, None
        if shape & _STARTS:
            start = np.zeros(matrix, np.int64) if begin is None else spread(begin[series], width)
        if shape & _HISTOGRAMS:
            histograms = Stack(np.full(matrix, -1, dtype=np.int32), pools)
        cells = Cells(np.empty(matrix), not shape & _GAPS, start, histograms)
        times = np.empty((len(first), width), dtype=np.int64)
        made.append(Part(series, times, own_row.astype(np.int32), cells))
    filled = np.zeros(size, dtype=np.int64)
    for part in parts:
        key = filled[part.pos] * len(shapes) + shape_of[part.pos]
        width = part.ts_ms.shape[1]
        filled[part.pos] += width
        alike = bool((key == key[0]).all())
        for one in key[:1].tolist() if alike else np.unique(key).tolist():
            sel = slice(None) if alike else key == one
            start_at, number = divmod(one, len(shapes))
            pos = part.pos[sel]
            columns = slice(start_at, start_at + width)
            goal, cells = made[number], part.cells
            _put(goal.values, row[pos], columns, cells.values[sel])
            if goal.cells.start_ms is not None and begin is None:
                _put(goal.cells.start_ms, row[pos], columns, _starts_of(cells)[sel])
            if goal.cells.histograms is not None and cells.histograms is not None:
                _put(goal.cells.histograms.index, row[pos], columns, cells.histograms.index[sel])
            shown = example[pos]
            at = time_row[pos[shown]]
            goal.ts_ms[at, columns] = part.ts_ms[part.ts_row[sel][shown]]
    return made


def _fills(part: Part, length: Index) -> bool:
    """Tell whether a part has half of all series, and everything that there is of them."""
    if 2 * len(part.pos) < len(length):
        return False
    return bool((length[part.pos] == part.ts_ms.shape[1]).all())


def _common_starts(size: int, parts: Sequence[Part]) -> Ints | None:
    """Return the start timestamp of each series, None if some have several (or there are none at all)."""
    if all(part.cells.start_ms is None for part in parts):
        return None
    begin = np.full(size, _LOWEST, dtype=np.int64)
    for part in parts:
        starts, known = _starts_of(part.cells), begin[part.pos]
        if not steady(starts) or ((known != _LOWEST) & (known != starts[:, 0])).any():
            return None
        begin[part.pos] = starts[:, 0]
    return begin


def _put(
    matrix: npt.NDArray[np.generic], rows: Index, columns: slice, values: npt.NDArray[np.generic]
) -> None:
    if len(rows) == len(matrix):
        matrix[:, columns] = values  # both rise
    else:
        matrix[rows, columns] = values


def _kind_by_kind(size: int, parts: Sequence[Part]) -> list[Part] | None:
    """Join parts that overlap, for each kind of series that the same parts have."""
    kind = np.zeros(size, dtype=np.uint64)
    for number, part in enumerate(parts):
        kind[part.pos] += np.uint64(_scrambled(number + 1))
    _, first, kind_of = np.unique(kind, return_index=True, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    if len(first) > _MOST_KINDS:
        return None
    found: dict[tuple[int, bool, bool, bool], list[Part]] = {}
    for number in range(len(first)):
        members = np.flatnonzero(kind_of == number)
        own = [one for part in parts if (one := _only(part, members)) is not None]
        if own:
            joined = _interleaved(own)
            if joined is None:
                return None
            cells = joined.cells
            has = cells.start_ms is not None, cells.histograms is not None
            found.setdefault((cells.values.shape[1], cells.dense, *has), []).append(joined)
    return [_stacked(alike) for alike in found.values()]


def _scrambled(number: int) -> int:
    """Return 64 bits whose sums differ for different sets of numbers."""
    word = number * _SPREAD & _WORD
    word = (word ^ word >> 30) * _MIX & _WORD
    return word ^ word >> 27


def _only(part: Part, members: Index) -> Part | None:
    """Return a part with only these series, of which it has all or none."""
    at = np.searchsorted(part.pos, members)
    if at[0] == len(part.pos) or part.pos[at[0]] != members[0]:
        return None
    return part.take(at)


def _interleaved(parts: Sequence[Part]) -> Part | None:
    """Join parts of the same series, column by column; at the same time that of the later part stays."""
    in_time = sorted(parts, key=lambda part: int(part.ts_ms[part.ts_row[0], 0]))
    if not _overlap(in_time):
        return _joined(in_time)
    whole = _joined(parts)
    order = np.argsort(whole.ts_ms, axis=1, kind="stable")
    ts_ms = np.take_along_axis(whole.ts_ms, order, axis=1)
    again = ts_ms[:, 1:] == ts_ms[:, :-1]
    if again.any():
        if not all(_full(part) for part in parts[1:]) or (again != again[0]).any():
            return None  # a hole in the later part does not count
        last = np.append(~again[0], True)
        ts_ms, order = ts_ms[:, last], order[:, last]
    return Part(whole.pos, ts_ms, whole.ts_row, _in_order(whole, order))


def _full(part: Part) -> bool:
    """Tell whether there is a sample in each cell."""
    histograms = part.cells.histograms
    return part.dense or (histograms is not None and bool((histograms.index >= 0).all()))


def _in_order(part: Part, order: Index) -> Cells:
    """Return the columns of each series in the order of its timestamps."""

    def sort(matrix: Any) -> Any:
        if len(order) == 1:
            return matrix[:, order[0]]
        return np.take_along_axis(matrix, order[part.ts_row], axis=1)

    cells = part.cells
    start, histograms = cells.start_ms, cells.histograms
    if start is not None:
        width = order.shape[1]
        start = spread(start[:, 0], width) if steady(start) else sort(start)
    if histograms is not None:
        histograms = Stack(sort(histograms.index), histograms.pools)
    return Cells(sort(cells.values), cells.dense, start, histograms)


def _stacked(parts: Sequence[Part]) -> Part:
    """Put parts of the same shape below one another."""
    if len(parts) == 1:
        return parts[0]
    before = itertools.accumulate((len(part.ts_ms) for part in parts), initial=0)
    ts_row = [part.ts_row + np.int32(start) for part, start in zip(parts, before, strict=False)]
    start = histograms = None
    if parts[0].cells.start_ms is not None:
        starts = [_starts_of(part.cells) for part in parts]
        if all(map(steady, starts)):
            start = spread(np.concatenate([one[:, 0] for one in starts]), starts[0].shape[1])
        else:
            start = np.concatenate(starts)
    stacks = [part.cells.histograms for part in parts if part.cells.histograms is not None]
    if stacks:
        histograms = Stack(np.concatenate([one.index for one in stacks]), stacks[0].pools)
    values = np.concatenate([part.values for part in parts])
    return Part(
        np.concatenate([part.pos for part in parts]),
        np.concatenate([part.ts_ms for part in parts]),
        np.concatenate(ts_row),
        Cells(values, parts[0].dense, start, histograms),
    )


def only_last(size: int, parts: Sequence[Part]) -> Sequence[Part] | None:
    """Return one column with the last sample of each series; None if that takes more than a look at ends."""
    if not all(part.dense for part in parts):
        return None
    starts = any(part.cells.start_ms is not None for part in parts)
    newest = np.full(size, _LOWEST, dtype=np.int64)
    values = np.empty((size, 1))
    begun = np.zeros((size, 1), dtype=np.int64)
    for part in parts:
        last = part.ts_ms[:, -1][part.ts_row] if len(part.ts_ms) > 1 else part.ts_ms[0, -1]
        before = newest[part.pos]
        later = last > before
        if later.all():
            newest[part.pos] = last
            values[part.pos] = part.values[:, -1:]
            if starts:
                begun[part.pos] = _starts_of(part.cells)[:, -1:]
            continue
        if (last == before).any():
            return None
        pos = part.pos[later]
        newest[pos] = last[later] if len(part.ts_ms) > 1 else last
        values[pos] = part.values[later, -1:]
        if starts:
            begun[pos] = _starts_of(part.cells)[later, -1:]
    pos = np.flatnonzero(newest > _LOWEST)
    if not len(pos):
        return []
    times, row = np.unique(newest[pos], return_inverse=True)
    ts_row = row.reshape(-1).astype(np.int32)
    cells = Cells(values[pos], True, begun[pos] if starts else None)
    return [Part(pos, times[:, None], ts_row, cells)]
