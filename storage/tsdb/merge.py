"""From the pieces that head, chunks and lane give to the groups of a ``SeriesSet``.

Series whose pieces come from the same sources one after the other share their timestamps and are
laid side by side without looking at a sample. Only where pieces overlap, or where samples came
with their own timestamps, are samples sorted one by one.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field
from msgspec.structs import replace

from model.histogram.pool import HistogramColumn
from model.samples import Bools, Ints, is_no_sample, is_stale, no_samples
from storage.interface import TS_PAD, Group
from storage.tsdb.chunk import Piece
from storage.tsdb.pools import one_pool, outward, same_pool
from storage.tsdb.samples import (
    Samples,
    groups_of,
    ranges,
    scattered,
    scattered_starts,
    settle,
)
from storage.tsdb.slab import SlabPart
from storage.tsdb.stack import Stack
from storage.tsdb.typed import cut_column

_WORD = 2**64 - 1
_SPREAD = 0x9E3779B97F4A7C15
_P = np.uint64(0x100000001B3)
_Q = np.uint64(0x9E3779B97F4A7C15)
_SHARED = 4  # series that must have the same times, on average, to be worth a piece
_numbers = itertools.count(-(2**62))
_LOWEST = np.iinfo(np.int64).min


class Parts(Struct):
    """What was found for a list of series; positions point into that list.

    Attributes:
        size: Number of series in the list.
        slab: From the slab.
        pieces: From chunks of scrapes, oldest append first.
        late: Samples that came with their own timestamps, oldest append first. They win over
            everything else.
    """

    size: int
    slab: list[SlabPart] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    late: list[Piece | Samples] = field(default_factory=list)


def assemble(parts: Parts, *, inside: bool = False) -> tuple[Bools, tuple[Group, ...]]:
    """Merge the parts.

    Args:
        parts: What was found.
        inside: True if the answer stays in the store: histograms keep the hints that it keeps.

    Returns:
        ``(found, groups)``: which positions have a sample, and their groups; ``rows`` of the
        groups count only those found.
    """
    groups: list[Group] = []
    found_late, found_pieces = one_pool(parts.late, parts.pieces)
    late = _shared_times(found_late)
    touched = np.zeros(parts.size, dtype=np.bool_)
    ragged = np.zeros(parts.size, dtype=np.bool_)
    for item in late:
        if isinstance(item, Samples):
            ragged[item.refs] = True
        else:
            touched[item.pos] = True
    touched |= ragged
    for piece in found_pieces:
        touched[piece.pos] = True
    if parts.slab:  # a series that changed its target is in two slots for a while
        times_seen = np.bincount(np.concatenate([p.pos for p in parts.slab]), minlength=parts.size)
        touched |= times_seen > 1
    pieces = list(found_pieces)
    for number, part in enumerate(parts.slab):
        shared = touched[part.pos]
        if not shared.any():
            groups.append(_slab_group(part, None))
            continue
        if not shared.all():
            groups.append(_slab_group(part, np.flatnonzero(~shared)))
        pieces.extend(_slab_pieces(number, part, np.flatnonzero(shared)))
    sources: list[Piece | Samples] = [*pieces, *late]
    groups.extend(_side_by_side([p for p in sources if isinstance(p, Piece)], ragged))
    groups.extend(_sample_by_sample(sources, ragged))
    found, kept = numbered(parts.size, groups)
    return found, tuple(kept if inside else outward(kept))


def _shared_times(late: Sequence[Piece | Samples]) -> list[Piece | Samples]:
    """Turn neighbouring samples into pieces where enough series have the same times."""
    out: list[Piece | Samples] = []
    for single, run in itertools.groupby(late, key=lambda item: isinstance(item, Samples)):
        if not single:
            out.extend(run)
            continue
        rest: list[Samples] = []
        samples = settle(same_pool([one for one in run if isinstance(one, Samples)]))
        for group in ragged_groups(samples):
            if len(group.ts_ms) * _SHARED > len(group.rows):
                rest.append(_as_samples(group))
            else:
                out.extend(_as_pieces(group))
        out.extend(rest)
    return out


def _as_pieces(group: Group) -> Iterator[Piece]:
    order = np.argsort(group.ts_row, kind="stable")
    cuts = np.flatnonzero(np.diff(group.ts_row[order])) + 1
    for rows in np.split(order, cuts):
        ts = group.ts_ms[group.ts_row[rows[0]]]
        width = int(np.searchsorted(ts, TS_PAD))
        pos = group.rows[rows].astype(np.int64)
        values = group.values[rows, :width]
        dense = group.dense or (group.histograms is None and not is_stale(values).any())
        start = None if group.start_ms is None else group.start_ms[rows, :width]
        column = cut_column(group.histograms, rows, slice(width))
        yield Piece(next(_numbers), pos, ts[:width], values, dense, start, column)


def _as_samples(group: Group) -> Samples:
    ts = group.ts_ms[group.ts_row]
    here = ts != TS_PAD
    return Samples(
        np.repeat(group.rows.astype(np.int64), here.sum(axis=1)),
        ts[here],
        group.values[here],
        None if group.start_ms is None else group.start_ms[here],
        None if group.histograms is None else Stack.of(group.histograms.take(here)),
    )


def _slab_group(part: SlabPart, sel: npt.NDArray[np.intp] | None) -> Group:
    if sel is None:
        return Group(part.pos, part.ts_ms, part.ts_row, part.values, part.dense)
    used, ts_row = np.unique(part.ts_row[sel], return_inverse=True)
    return Group(
        part.pos[sel],
        part.ts_ms[used],
        ts_row.reshape(-1).astype(np.int32),
        part.values[sel],
        part.dense,
    )


def _slab_pieces(number: int, part: SlabPart, sel: npt.NDArray[np.intp]) -> list[Piece]:
    """Cut a part of the slab into one piece a target; sources are negative, chunks' are positive."""
    order = sel[np.argsort(part.ts_row[sel], kind="stable")]
    rows = part.ts_row[order]
    cuts = np.flatnonzero(np.diff(rows)) + 1
    return [
        Piece(
            -1 - int(part.ts_row[one[0]]) - (number << 32),
            part.pos[one].astype(np.int64),
            part.ts_ms[part.ts_row[one[0]]],
            part.values[one],
            part.dense,
        )
        for one in np.split(order, cuts)
    ]


def _side_by_side(pieces: Sequence[Piece], ragged: Bools) -> list[Group]:
    """Concatenate pieces in time; what overlaps is marked in ``ragged`` instead."""
    if not pieces:
        return []
    size = len(ragged)
    in_time = sorted(pieces, key=lambda p: int(p.ts_ms[0]))
    pool = next((p.histograms.pool for p in pieces if p.histograms is not None), None)
    starts = any(p.start_ms is not None for p in pieces)
    signature = np.zeros(size, dtype=np.uint64)
    last = np.full(size, _LOWEST, dtype=np.int64)
    length = np.zeros(size, dtype=np.int64)
    gaps = np.zeros(size, dtype=np.bool_)
    for piece in in_time:
        pos = piece.pos
        ragged[pos[last[pos] >= piece.ts_ms[0]]] = True
        last[pos] = piece.ts_ms[-1]
        length[pos] += len(piece.ts_ms)
        signature[pos] = signature[pos] * _P + np.uint64(piece.source * _SPREAD & _WORD)
        if not piece.dense:
            gaps[pos] = True
    whole = np.flatnonzero((length > 0) & ~ragged)
    if not len(whole):
        return []
    signature[gaps] += np.uint64(1)
    _, first, inverse = np.unique(signature[whole], return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    group_of = np.full(size, -1, dtype=np.int64)
    group_of[whole] = inverse
    shape = length[whole[first]] * 2 + gaps[whole[first]]
    shapes, shape_of = np.unique(shape, return_inverse=True)
    shape_of = shape_of.reshape(-1)
    row = np.zeros(size, dtype=np.int64)
    ts_row = np.zeros(len(first), dtype=np.int64)
    made: list[Group] = []
    for number, one in enumerate(shapes.tolist()):
        members = np.flatnonzero(shape_of == number)
        ts_row[members] = np.arange(len(members))
        series = whole[shape_of[inverse] == number]
        row[series] = np.arange(len(series))
        width = one >> 1
        made.append(
            Group(
                series.astype(np.int32),
                np.empty((len(members), width), dtype=np.int64),
                ts_row[group_of[series]].astype(np.int32),
                np.empty((len(series), width)),
                dense=not one & 1,
                histograms=None
                if pool is None
                else HistogramColumn(np.full((len(series), width), -1, dtype=np.int32), pool),
                start_ms=np.zeros((len(series), width), dtype=np.int64) if starts else None,
            )
        )
    filled = np.zeros(size, dtype=np.int64)
    for piece in in_time:
        groups = group_of[piece.pos]
        lowest, highest = int(groups.min()), int(groups.max())
        if lowest == highest >= 0:
            target = made[shape_of[lowest]]
            at = ts_row[lowest]
            _fill(target, piece, slice(None), filled=filled, row=row, ts_row=at)
            continue
        for group in np.unique(groups).tolist():
            if group >= 0:
                sel = np.flatnonzero(groups == group)
                target = made[shape_of[group]]
                _fill(target, piece, sel, filled=filled, row=row, ts_row=ts_row[group])
    return made


def _fill(
    group: Group,
    piece: Piece,
    sel: npt.NDArray[np.intp] | slice,
    *,
    filled: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    ts_row: np.int64,
) -> None:
    pos = piece.pos[sel]
    start = int(filled[pos[0]])
    stop = start + len(piece.ts_ms)
    rows = row[pos]
    group.ts_ms[ts_row, start:stop] = piece.ts_ms
    group.values[rows, start:stop] = piece.values[sel]
    if group.start_ms is not None and piece.start_ms is not None:
        group.start_ms[rows, start:stop] = piece.start_ms[sel]
    if group.histograms is not None and piece.histograms is not None:
        group.histograms.index[rows, start:stop] = piece.histograms.index[sel]
    filled[pos] = stop


def _sample_by_sample(sources: Sequence[Piece | Samples], ragged: Bools) -> list[Group]:
    """Sort what overlaps; of samples with the same time that of the later source stays."""
    if not ragged.any():
        return []
    found = []
    for source in sources:
        if isinstance(source, Samples):
            found.append(source)
            continue
        sel = np.flatnonzero(ragged[source.pos])
        if len(sel):
            width = len(source.ts_ms)
            values = source.values[sel].reshape(-1)
            pos = np.repeat(source.pos[sel], width)
            here = ~is_no_sample(values)
            start, stack = source.start_ms, None
            if start is not None:
                start = start[sel].reshape(-1)
            if source.histograms is not None:
                index = source.histograms.index[sel].reshape(-1)
                stack = Stack(index, (source.histograms.pool,))
                here |= index >= 0
            every = Samples(pos, np.tile(source.ts_ms, len(sel)), values, start, stack)
            found.append(every.take(here))
    return ragged_groups(settle(same_pool(found)))


def ragged_groups(samples: Samples) -> list[Group]:
    """Lay out settled samples; series of like length stand together, equal timestamps once."""
    if not samples.size:
        return []
    series, starts = groups_of(samples.refs)
    starts, counts = starts[:-1], np.diff(starts)
    size_class = np.ceil(np.log2(counts)).astype(np.int64)
    groups = []
    for one in np.unique(size_class).tolist():
        members = np.flatnonzero(size_class == one)
        width = int(counts[members].max())
        here = np.arange(width) < counts[members][:, None]
        where = ranges(starts[members], starts[members] + counts[members])
        ts = np.full((len(members), width), TS_PAD, dtype=np.int64)
        values = no_samples((len(members), width))
        ts[here] = samples.ts_ms[where]
        values[here] = samples.values[where]
        once, ts_row = distinct(ts)
        dense = samples.histograms is None and not is_stale(values).any()
        rows = series[members].astype(np.int32)
        stack = scattered(samples.histograms, values.shape, here, where)
        column = None if stack is None else HistogramColumn(stack.index, stack.pools[0])
        start = scattered_starts(samples.start_ms, values.shape, here, where)
        groups.append(Group(rows, once, ts_row, values, dense, column, start))
    return groups


def distinct(ts: Ints) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Return equal rows once, and which one each row was."""
    weights = (np.arange(1, ts.shape[1] + 1, dtype=np.uint64) * _Q) | np.uint64(1)
    _, first, inverse = np.unique(
        (ts.view(np.uint64) * weights).sum(axis=1), return_index=True, return_inverse=True
    )
    once = ts[first]
    inverse = inverse.reshape(-1)
    if len(first) == len(ts) or not np.array_equal(once[inverse], ts):
        return ts, np.arange(len(ts), dtype=np.int32)
    return once, inverse.astype(np.int32)


def numbered(size: int, groups: Sequence[Group]) -> tuple[Bools, list[Group]]:
    """Leave out series without a sample and number the rest."""
    found = np.zeros(size, dtype=np.bool_)
    kept = []
    for group in groups:
        one = group if group.dense else _without_empty(group)
        if len(one.rows):
            found[one.rows] = True
            kept.append(one)
    number = (np.cumsum(found) - 1).astype(np.int32)
    return found, [replace(g, rows=number[g.rows]) for g in kept]


def _without_empty(group: Group) -> Group:
    absent = is_no_sample(group.values)
    histograms = group.histograms
    nothing: Bools = absent if histograms is None else absent & (histograms.index < 0)
    empty: Bools = np.all(nothing, axis=1)
    padding = group.ts_ms == TS_PAD
    spoilt = (absent & ~padding[group.ts_row]) | is_stale(group.values)
    if not empty.any():
        return replace(group, dense=not spoilt.any())
    rest = np.flatnonzero(~empty)
    used, ts_row = np.unique(group.ts_row[rest], return_inverse=True)
    return Group(
        group.rows[rest],
        group.ts_ms[used],
        ts_row.reshape(-1).astype(np.int32),
        group.values[rest],
        not spoilt[rest].any(),
        None if histograms is None else histograms.take(rest),
        None if group.start_ms is None else group.start_ms[rest],
    )


def late_source(piece: Piece, mint: int, maxt: int) -> Piece | Samples:
    """Return a piece of late samples as it is, or as samples where each series has its own times."""
    ts = piece.ts_ms
    if ts.ndim == 1:
        return piece
    here: Bools = np.logical_not(is_no_sample(piece.values))
    if piece.histograms is not None:
        here = here | (piece.histograms.index >= 0)
    here = here & (ts >= mint) & (ts <= maxt) & (ts != TS_PAD)
    return Samples(
        np.repeat(piece.pos, here.sum(axis=1)),
        ts[here],
        piece.values[here],
        None if piece.start_ms is None else piece.start_ms[here],
        None if piece.histograms is None else Stack.of(piece.histograms.take(here)),
    )
