"""The part of a frame that only some have: start timestamps and native histograms."""

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.errors import StorageError
from model.histogram.pool import HistogramColumn
from model.samples import Bools, Floats, Ints, is_no_sample, is_stale, no_samples
from storage.tsdb.codec import (
    compress,
    decode_frame,
    decompress,
    encode_frame,
    join_blobs,
    open_frame,
    pack_ints,
    split_blobs,
    unpack_ints,
)
from storage.tsdb.poolcodec import decode_pool, encode_pool
from storage.tsdb.resets import told
from storage.tsdb.scaling import scale
from storage.tsdb.stack import Stack, pool_bytes


class Frame(Struct, frozen=True):
    """A decoded frame.

    Attributes:
        values: float64, shape (k, T).
        dense: True if there is neither NO_SAMPLE nor a stale marker nor a histogram.
        start_ms: int64, shape (k, T); None if there is none.
        histograms: ``index`` of shape (k, T); None if there is none.
    """

    values: Floats
    dense: bool
    start_ms: Ints | None = None
    histograms: HistogramColumn | None = None

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        starts = 0 if self.start_ms is None else self.start_ms.nbytes
        size = self.values.nbytes + starts
        if self.histograms is None:
            return size
        return size + self.histograms.index.nbytes + pool_bytes(self.histograms.pool)


def encode_typed_frame(values: Floats, start_ms: Ints | None, histograms: Stack | None) -> bytes:
    """Encode values (k, T) with what else they have."""
    starts = packed = b""
    if start_ms is not None and start_ms.any():
        starts = pack_ints(np.diff(start_ms, axis=1, prepend=0))
    column = None if histograms is None else histograms.gathered()
    if column is not None:
        here = column.index >= 0
        values = np.where(here, 0.0, values)
        packed = _packed(_with_hints(column, here), here)
    rows = np.arange(len(values))
    scaled = scale(np.ascontiguousarray(values))
    if not starts and not packed:
        absent = is_no_sample(scaled.values) | is_stale(scaled.values)
        dense = scaled.special is None or not absent.any()
        return encode_frame(scaled, rows, dense=dense)
    return encode_frame(scaled, rows, dense=False, typed=join_blobs([starts, packed]))


def _with_hints(column: HistogramColumn, here: Bools) -> HistogramColumn:
    """Find out where histograms fell against the one before them."""
    previous = np.full_like(column.index, -1)
    previous[:, 1:] = column.index[:, :-1]
    return HistogramColumn(column.index, told(column.pool, column.index[here], previous[here]))


def _packed(column: HistogramColumn, here: Bools) -> bytes:
    places = b"" if here.all() else compress(np.packbits(here).tobytes())
    sums = no_samples(here.shape)
    sums[here] = column.pool.sum
    scaled = scale(_held(sums, here))
    series = np.repeat(np.arange(len(here)), here.sum(axis=1))
    return join_blobs(
        [
            places,
            encode_frame(scaled, np.arange(len(sums)), dense=False),
            encode_pool(column.pool, series),
        ]
    )


def _held(sums: Floats, here: Bools) -> Floats:
    """Repeat the sum before where there is no histogram; 0.0 at the start of a row."""
    source = np.where(here, np.arange(here.shape[1]), -1)
    np.maximum.accumulate(source, axis=1, out=source)
    held: Floats = np.take_along_axis(sums, np.maximum(source, 0), axis=1)
    held[source < 0] = 0.0
    return held


def cut_column(
    column: HistogramColumn | None, rows: npt.NDArray[np.integer], columns: slice
) -> HistogramColumn | None:
    """Return some rows and columns of a matrix; None if no histogram is left."""
    if column is None:
        return None
    index = column.index[rows, columns]
    return HistogramColumn(index, column.pool) if (index >= 0).any() else None


def decode_whole(data: bytes | memoryview) -> Frame:
    """Return all that a frame holds.

    Raises:
        StorageError: If the frame is damaged or of an unknown version.
    """
    values, dense, typed = open_frame(data)
    if not len(typed):
        return Frame(values, dense)
    rows, width = values.shape
    try:
        starts, packed = split_blobs(typed)
    except ValueError as error:
        raise StorageError(f"damaged frame: {error}") from error
    start_ms = None
    if len(starts):
        start_ms = unpack_ints(starts, rows, width)
        np.cumsum(start_ms, axis=1, out=start_ms)
    if not len(packed):
        return Frame(values, dense, start_ms)
    places, sums, pool = split_blobs(packed)
    here = np.ones((rows, width), dtype=np.bool_)
    if len(places):
        bits = np.unpackbits(np.frombuffer(decompress(places), np.uint8), count=rows * width)
        here = bits.astype(np.bool_).reshape(rows, width)
    values[here] = no_samples(1)
    index = np.full((rows, width), -1, dtype=np.int32)
    index[here] = np.arange(int(here.sum()), dtype=np.int32)
    found = decode_pool(pool, decode_frame(sums)[0][here])
    return Frame(values, dense, start_ms, HistogramColumn(index, found))
