"""Native histograms of a frame as bytes: counts as differences to the row before, bucket by bucket.

Neighbouring rows of one series are laid out on the same buckets, so that differences are small.
Columns of like size are packed together: each pack finds a distribution of its own. The total is
kept as what it differs from the sum of its buckets, which is nothing as a rule.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from model.errors import StorageError
from model.histogram.pool import HistogramPool, Int32s
from model.samples import Bools, Floats, Ints
from storage.tsdb.codec import (
    compress,
    decompress,
    join_blobs,
    pack_ints,
    shuffle,
    split_blobs,
    unpack_ints,
    unshuffle,
)
from storage.tsdb.columns import pack_columns, unpack_columns

_PACKS: Final = 5  # of columns of like size
_EXACT: Final = 2.0**53  # integers below are exact as floats
_STRETCH: Final = 2  # how much wider columns may become so that rows agree in theirs
_RUN_FIELDS: Final = ("schema", "zero_threshold", "first", "negative_first", "bounds")

Series = npt.NDArray[np.integer]


def encode_pool(pool: HistogramPool, series: Series) -> bytes:
    """Encode all but the sums; ``series`` of shape (m,) says whose each row is, neighbours together."""
    first, positive = _on_same_columns(pool.first, pool.positive, series)
    negative_first, negative = _on_same_columns(pool.negative_first, pool.negative, series)
    pool = replace(pool, first=first, negative_first=negative_first)
    starts = np.flatnonzero(_changes(pool))
    about: dict[str, npt.NDArray[Any]] = {name: getattr(pool, name)[starts] for name in _RUN_FIELDS}
    about["starts"] = starts
    about["hint"] = pool.hint
    about["widths"] = np.array([positive.shape[1], negative.shape[1]])
    counts = np.empty((positive.shape[1] + negative.shape[1] + 2, pool.size))
    counts[: positive.shape[1]] = positive.T
    counts[positive.shape[1] : -2] = negative.T
    counts[-2], counts[-1] = pool.zero_count, pool.count
    whole = _whole(counts)
    if whole is None:
        bits = counts.view(np.int64)
        bits[:, 1:] ^= bits[:, :-1].copy()
        return join_blobs([pack_columns(about), compress(shuffle(bits))])
    whole[-1] -= whole[:-1].sum(axis=0)
    whole[:, 1:] -= whole[:, :-1].copy()
    size = np.abs(whole).sum(axis=1)
    order = np.argsort(size, kind="stable")
    order = order[size[order] > 0]
    about["order"] = order
    packs = [pack_ints(whole[some]) for some in np.array_split(order, _PACKS) if len(some)]
    return join_blobs([pack_columns(about), *packs])


def decode_pool(data: memoryview, sums: Floats) -> HistogramPool:
    """Undo ``encode_pool``.

    Raises:
        StorageError: If the data is damaged.
    """
    head, *packs = split_blobs(data)
    about = unpack_columns(head)
    rows = len(sums)
    try:
        wide, negative_wide = about["widths"].tolist()
        counts = _counts(packs, about.get("order"), rows, wide + negative_wide + 2)
        lengths = np.diff(about["starts"], append=rows)
        runs = {name: np.repeat(about[name], lengths, axis=0) for name in _RUN_FIELDS}
        return HistogramPool(
            **runs,
            hint=about["hint"],
            count=counts[:, -1].copy(),
            sum=sums,
            zero_count=counts[:, -2].copy(),
            positive=counts[:, :wide],
            negative=counts[:, wide:-2],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise StorageError(f"damaged histograms: {error}") from error


def _counts(packs: list[memoryview], order: Ints | None, rows: int, width: int) -> Floats:
    if order is None:
        bits = unshuffle(decompress(packs[0]), np.int64).reshape(width, rows)
        np.bitwise_xor.accumulate(bits, axis=1, out=bits)
        return np.ascontiguousarray(bits.T).view(np.float64)
    whole = np.zeros((width, rows), dtype=np.int64)
    for pack, some in zip(packs, np.array_split(order, _PACKS), strict=False):
        whole[some] = unpack_ints(pack, len(some), rows)
    np.cumsum(whole, axis=1, out=whole)
    whole[-1] += whole[:-1].sum(axis=0)
    return np.ascontiguousarray(whole.T).astype(np.float64)


def _whole(counts: Floats) -> Ints | None:
    """Return the counts as integers if that keeps every bit."""
    if not counts.max(initial=0.0) < _EXACT:
        return None
    whole = counts.astype(np.int64)
    # compared as bits, so that -0.0 counts
    same = np.equal(whole.astype(np.float64).view(np.int64), counts.view(np.int64))
    return whole if same.all() else None


def _changes(pool: HistogramPool) -> Bools:
    """Tell which rows differ from the one before in what a run shares."""
    changed = np.ones(pool.size, dtype=np.bool_)
    changed[1:] = False
    for name in _RUN_FIELDS:
        column = getattr(pool, name)
        other = column[1:] != column[:-1]
        if name == "bounds":  # NaN is padding
            other &= ~(np.isnan(column[1:]) & np.isnan(column[:-1]))
            other = other.any(axis=1)
        changed[1:] |= other
    return changed


def _on_same_columns(first: Int32s, counts: Floats, series: Series) -> tuple[Int32s, Floats]:
    """Let all rows of a series begin with the same bucket, if that does not make them much wider."""
    width = counts.shape[1]
    if not width:
        return np.zeros_like(first), counts
    edges = np.append(0, np.flatnonzero(series[1:] != series[:-1]) + 1)
    lengths = np.diff(edges, append=len(series))
    some = counts.any(axis=1)
    lowest = np.minimum.reduceat(np.where(some, first, np.int32(2**31 - 1)), edges)
    lowest = np.where(lowest == 2**31 - 1, np.int32(0), lowest)
    begin = np.repeat(lowest, lengths).astype(np.int32)
    by = np.where(some, first - begin, 0)
    wide = int(by.max()) + width
    if wide == width:
        return begin, counts
    if wide > max(width * _STRETCH, 16):
        return first, counts
    moved = np.zeros((len(counts), wide))
    np.put_along_axis(moved, by[:, None] + np.arange(width), counts, axis=1)
    return begin, moved
