"""From the parts that several sources have of a selection to groups, without looking at a sample.

Works where the parts of each series follow one another in time, which is what stores usually hold;
where they overlap it says so, and ``merge`` sorts them sample by sample.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.samples import Bools, Floats
from storage.interface import Group
from storage.tsdb.merge import numbered
from storage.tsdb.parts import Part

_LOWEST = np.iinfo(np.int64).min
_P = np.uint64(0x100000001B3)
_SPREAD = 0x9E3779B97F4A7C15
_MIX = 0xBF58476D1CE4E5B9
_MOST_KINDS = 64
_WORD = 2**64 - 1

Index = npt.NDArray[np.int64]


def lay_out(size: int, parts: Sequence[Part]) -> tuple[Bools | None, tuple[Group, ...]] | None:
    """Put parts side by side.

    Returns:
        ``(found, groups)`` as ``merge.assemble`` gives them, ``found`` None if all were; or None if
        parts of one series overlap in a way that must be looked at sample by sample.
    """
    groups: Sequence[Group] | None
    in_time = sorted(parts, key=lambda part: int(part.ts_ms[0, 0]))
    if not parts:
        groups = []
    elif all(_same(part.pos, parts[0].pos) for part in parts[1:]):
        groups = None if _overlap(in_time) else [_joined(in_time)]
    else:
        groups = _filled(size, in_time)
    if groups is None:
        groups = _kind_by_kind(size, parts)
    if groups is None:
        return None
    if len(groups) == 1 and groups[0].dense and len(groups[0].rows) == size:
        return None, (groups[0],)
    found, kept = numbered(size, groups)
    return (None if found.all() else found), tuple(kept)


def _same(one: Index, other: Index) -> bool:
    return one is other or (len(one) == len(other) and bool((one == other).all()))


def _overlap(parts: Sequence[Part]) -> bool:
    """Tell whether parts of the same series, in order of time, overlap."""
    for part, after in itertools.pairwise(parts):
        last, begins = part.ts_ms[:, -1], after.ts_ms[:, 0]
        if last.max() >= begins.min() and (last[part.ts_row] >= begins[after.ts_row]).any():
            return True
    return False


def _joined(parts: Sequence[Part]) -> Group:
    """Join parts of the same series."""
    first = parts[0]
    rows = first.pos.astype(np.int32)
    if len(parts) == 1:
        return Group(rows, first.ts_ms, first.ts_row, first.values, first.dense)
    values = np.concatenate([part.values for part in parts], axis=1)
    dense = all(part.dense for part in parts)
    if all(len(part.ts_ms) == 1 for part in parts):
        ts_ms = np.concatenate([part.ts_ms for part in parts], axis=1)
        return Group(rows, ts_ms, first.ts_row, values, dense)
    kind = np.zeros(len(first.pos), dtype=np.uint64)
    for part in parts:
        kind = kind * _P + part.ts_row.astype(np.uint64) * np.uint64(_SPREAD)
    _, example, ts_row = np.unique(kind, return_index=True, return_inverse=True)
    ts_ms = np.concatenate([part.ts_ms[part.ts_row[example]] for part in parts], axis=1)
    return Group(rows, ts_ms, ts_row.reshape(-1).astype(np.int32), values, dense)


def _filled(size: int, parts: Sequence[Part]) -> list[Group] | None:
    """Write parts of different series into one matrix for each length; None if some overlap."""
    kind = np.zeros(size, dtype=np.uint64)
    last = np.full(size, _LOWEST, dtype=np.int64)
    length = np.zeros(size, dtype=np.int64)
    gaps = np.zeros(size, dtype=np.bool_)
    for number, part in enumerate(parts):
        pos, ts_row = part.pos, part.ts_row
        many = len(part.ts_ms) > 1
        if (last[pos] >= (part.ts_ms[ts_row, 0] if many else part.ts_ms[0, 0])).any():
            return None
        last[pos] = part.ts_ms[ts_row, -1] if many else part.ts_ms[0, -1]
        length[pos] += part.ts_ms.shape[1]
        mark = np.uint64((number + 1) * _SPREAD & _WORD)
        kind[pos] = kind[pos] * _P + (mark + ts_row.astype(np.uint64) if many else mark)
        if not part.dense:
            gaps[pos] = True
    here = np.flatnonzero(length)
    shapes, shape_of_here = np.unique(length[here] * 2 + gaps[here], return_inverse=True)
    shape_of = np.full(size, -1, dtype=np.int64)
    shape_of[here] = shape_of_here.reshape(-1)
    row = np.zeros(size, dtype=np.int64)
    time_row = np.zeros(size, dtype=np.int64)
    example = np.zeros(size, dtype=np.bool_)
    made: list[Group] = []
    for number, shape in enumerate(shapes.tolist()):
        series = here if len(shapes) == 1 else np.flatnonzero(shape_of == number)
        _, first, own = np.unique(kind[series], return_index=True, return_inverse=True)
        own = own.reshape(-1)
        row[series] = np.arange(len(series))
        time_row[series] = own
        example[series[first]] = True
        times = np.empty((len(first), shape >> 1), dtype=np.int64)
        values = np.empty((len(series), shape >> 1))
        made.append(
            Group(series.astype(np.int32), times, own.astype(np.int32), values, not shape & 1)
        )
    filled = np.zeros(size, dtype=np.int64)
    for part in parts:
        key = filled[part.pos] * len(shapes) + shape_of[part.pos]
        width = part.ts_ms.shape[1]
        filled[part.pos] += width
        alike = bool((key == key[0]).all())
        for one in key[:1].tolist() if alike else np.unique(key).tolist():
            sel = slice(None) if alike else key == one
            start, number = divmod(one, len(shapes))
            pos = part.pos[sel]
            columns = slice(start, start + width)
            _put(made[number].values, row[pos], columns, part.values[sel])
            shown = example[pos]
            at = time_row[pos[shown]]
            made[number].ts_ms[at, columns] = part.ts_ms[part.ts_row[sel][shown]]
    return made


def _put(matrix: Floats, rows: Index, columns: slice, values: Floats) -> None:
    if len(rows) == len(matrix):
        matrix[:, columns] = values  # both rise
    else:
        matrix[rows, columns] = values


def _kind_by_kind(size: int, parts: Sequence[Part]) -> list[Group] | None:
    """Join parts that overlap, for each kind of series that the same parts have."""
    kind = np.zeros(size, dtype=np.uint64)
    for number, part in enumerate(parts):
        kind[part.pos] += np.uint64(_scrambled(number + 1))
    _, first, kind_of = np.unique(kind, return_index=True, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    if len(first) > _MOST_KINDS:
        return None
    groups: dict[tuple[int, bool], list[Group]] = {}
    for number in range(len(first)):
        members = np.flatnonzero(kind_of == number)
        own = [one for part in parts if (one := _only(part, members)) is not None]
        if own:
            group = _interleaved(own)
            if group is None:
                return None
            groups.setdefault((group.values.shape[1], group.dense), []).append(group)
    return [_stacked(alike) for alike in groups.values()]


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
    if len(members) == len(part.pos):
        return part
    used, ts_row = np.unique(part.ts_row[at], return_inverse=True)
    own = ts_row.reshape(-1).astype(np.int32)
    return Part(members, part.ts_ms[used], own, part.values[at], part.dense)


def _interleaved(parts: Sequence[Part]) -> Group | None:
    """Join parts of the same series, column by column; at the same time that of the later part stays."""
    in_time = sorted(parts, key=lambda part: int(part.ts_ms[part.ts_row[0], 0]))
    if not _overlap(in_time):
        return _joined(in_time)
    group = _joined(parts)
    order = np.argsort(group.ts_ms, axis=1, kind="stable")
    ts_ms = np.take_along_axis(group.ts_ms, order, axis=1)
    again = ts_ms[:, 1:] == ts_ms[:, :-1]
    if again.any():
        if not all(part.dense for part in parts[1:]) or (again != again[0]).any():
            return None  # a hole in the later part does not count
        last = np.append(~again[0], True)
        ts_ms, order = ts_ms[:, last], order[:, last]
    if len(order) == 1:
        values = group.values[:, order[0]]
    else:
        values = np.take_along_axis(group.values, order[group.ts_row], axis=1)
    return Group(group.rows, ts_ms, group.ts_row, values, group.dense)


def _stacked(groups: Sequence[Group]) -> Group:
    """Put groups of the same length below one another."""
    if len(groups) == 1:
        return groups[0]
    before = itertools.accumulate((len(group.ts_ms) for group in groups), initial=0)
    ts_row = [group.ts_row + np.int32(start) for group, start in zip(groups, before, strict=False)]
    return Group(
        np.concatenate([group.rows for group in groups]),
        np.concatenate([group.ts_ms for group in groups]),
        np.concatenate(ts_row),
        np.concatenate([group.values for group in groups]),
        groups[0].dense,
    )


def only_last(size: int, parts: Sequence[Part]) -> Sequence[Part] | None:
    """Return one column with the last sample of each series; None if that takes more than a look at ends."""
    if not all(part.dense for part in parts):
        return None
    newest = np.full(size, _LOWEST, dtype=np.int64)
    values = np.empty((size, 1))
    for part in parts:
        last = part.ts_ms[:, -1][part.ts_row] if len(part.ts_ms) > 1 else part.ts_ms[0, -1]
        before = newest[part.pos]
        later = last > before
        if later.all():
            newest[part.pos] = last
            values[part.pos] = part.values[:, -1:]
            continue
        if (last == before).any():
            return None
        pos = part.pos[later]
        newest[pos] = last[later] if len(part.ts_ms) > 1 else last
        values[pos] = part.values[later, -1:]
    pos = np.flatnonzero(newest > _LOWEST)
    if not len(pos):
        return []
    times, row = np.unique(newest[pos], return_inverse=True)
    ts_row = row.reshape(-1).astype(np.int32)
    return [Part(pos, times[:, None], ts_row, values[pos], dense=True)]
