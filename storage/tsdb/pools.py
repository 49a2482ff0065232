"""One pool for all histograms of an answer, so that merging moves nothing but int32 indices."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from model.histogram.layout import on_common_columns
from model.histogram.pool import HistogramColumn, HistogramPool, concat_pools
from model.samples import Floats, is_no_sample
from model.steady import steady
from storage.interface import Group
from storage.tsdb.chunk import Piece
from storage.tsdb.resets import shown, told
from storage.tsdb.samples import Samples, concat
from storage.tsdb.stack import Stack

Source = Piece | Samples


def one_pool(
    late: Sequence[Source], pieces: Sequence[Piece]
) -> tuple[Sequence[Source], Sequence[Piece]]:
    """Let the histograms of all sources point into one pool that they share."""
    sources = [*late, *pieces]
    if all(s.histograms is None for s in sources):
        return late, pieces
    columns = [None if s.histograms is None else _stack(s.histograms).gathered() for s in sources]
    found = [c.pool for c in columns if c is not None]
    whole = concat_pools(found) if found else None
    offset = 0
    out: list[Source] = []
    for source, column in zip(sources, columns, strict=True):
        if column is None or whole is None:
            out.append(replace(source, histograms=None))
            continue
        index = np.where(column.index >= 0, column.index + np.int32(offset), np.int32(-1))
        if isinstance(source, Piece):
            out.append(replace(source, histograms=HistogramColumn(index, whole)))
        else:
            out.append(replace(source, histograms=Stack(index, (whole,))))
        offset += column.pool.size
    kept = [s for s in out[len(late) :] if isinstance(s, Piece)]
    return out[: len(late)], kept


def _stack(histograms: HistogramColumn | Stack) -> Stack:
    return histograms if isinstance(histograms, Stack) else Stack.of(histograms)


def same_pool(parts: Sequence[Samples]) -> Samples:
    """Put samples that share a pool behind one another."""
    pools = next((p.histograms.pools for p in parts if p.histograms is not None), None)
    if pools is None:
        return concat(list(parts))
    every = concat([replace(p, histograms=None) for p in parts])
    index = [
        np.full(p.size, -1, dtype=np.int32) if p.histograms is None else p.histograms.index
        for p in parts
    ]
    return replace(every, histograms=Stack(np.concatenate(index), pools))


def outward(groups: Sequence[Group]) -> list[Group]:
    """Give the groups of an answer their counter reset hints, and leave empty columns out."""
    out = [_stripped(group) for group in groups]
    pool = next((g.histograms.pool for g in out if g.histograms is not None), None)
    if pool is None:
        return out
    pairs = [sequence(g.values, g.histograms.index) for g in out if g.histograms is not None]
    current, previous = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    final: HistogramPool = shown(told(pool, current, previous))
    return [
        g
        if g.histograms is None
        else replace(g, histograms=HistogramColumn(g.histograms.index, final))
        for g in out
    ]


def _stripped(group: Group) -> Group:
    histograms, start = group.histograms, group.start_ms
    if histograms is not None and not (histograms.index >= 0).any():
        histograms = None
    if start is not None and not (start[:, :1] if steady(start) else start).any():
        start = None
    if histograms is group.histograms and start is group.start_ms:
        return group
    return replace(group, histograms=histograms, start_ms=start)


def sequence(
    values: Floats, index: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the histograms of some series, and the one before each: -1 at a start or behind a float.

    Args:
        values: Shape (k, T).
        index: Rows of the pool, likewise.
    """
    if (index >= 0).all():
        before = np.full_like(index, -1)
        before[:, 1:] = index[:, :-1]
        return index.ravel(), before.ravel()
    here = (index >= 0) | ~is_no_sample(values)
    flat = index[here]
    series = np.repeat(np.arange(len(index)), here.sum(axis=1))
    previous = np.full_like(flat, -1)
    previous[1:] = np.where(series[1:] == series[:-1], flat[:-1], np.int32(-1))
    some = flat >= 0
    return flat[some], previous[some]


def settled(values: Floats, stack: Stack) -> Stack:
    """Return histograms as one pool, in the order of the series, with all that can be said of their hints.

    Args:
        values: Shape (k, T).
        stack: Likewise.
    """
    column = stack.gathered()
    if column is None:
        return stack
    pool = on_common_columns(column.pool)
    return Stack(column.index, (told(pool, *sequence(values, column.index)),))
