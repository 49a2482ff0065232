"""Frames: a small matrix of samples as bytes, bit for bit.

A frame is ``header | exponents | shifts | exceptions | scaled rows | raw rows | typed | crc32``. Scaled rows are
decimal integers, delta along time, in pcodec. Raw rows are what is shorter: floats in pcodec, or xor
along time, byte-shuffled, in zstd.
"""

import itertools
import struct
import threading
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, standalone

from model.errors import StorageError
from model.samples import Floats, Ints
from storage.interface import TS_PAD
from storage.tsdb.damage import DamagedError
from storage.tsdb.scaling import RAW, Scaled, unscale

FRAME_VERSION: Final = 2  # 1 had neither a typed part nor raw rows in pcodec

_HEADER: Final = struct.Struct("<BBHIIIII")
_CRC: Final = struct.Struct("<I")
_DENSE: Final = 1
_TIMES: Final = 2
_RAW_FLOATS: Final = 4  # raw rows are in pcodec
_PCODEC: Final = ChunkConfig(
    compression_level=4, delta_spec=DeltaSpec.no_op(), mode_spec=ModeSpec.classic()
)
_PCODEC_FLOATS: Final = ChunkConfig(compression_level=4)
_local = threading.local()


def encode_frame(
    scaled: Scaled, rows: npt.NDArray[np.integer], *, dense: bool, typed: bytes = b""
) -> bytes:
    """Encode some rows of a matrix that was taken apart; ``dense`` and ``typed`` are kept for the reader."""
    exponents = scaled.exponents[rows]
    raw = exponents == RAW
    width = scaled.ints.shape[1]
    exceptions = b""
    if scaled.special is not None:
        aside = scaled.special[rows]
        aside[raw] = False
        if aside.any():
            places = np.flatnonzero(aside)
            bits = np.ascontiguousarray(scaled.values[rows]).view(np.int64).ravel()[places]
            exceptions = compress(
                np.diff(places, prepend=0).astype(np.uint32).tobytes() + shuffle(bits)
            )
            exceptions = _CRC.pack(len(places)) + exceptions
    ints = raws = b""
    flags = _DENSE * dense
    if not raw.all():
        picked = scaled.ints[rows[~raw]]
        ints = pack_ints(np.diff(picked, axis=1, prepend=0))
    if raw.any():
        bits = np.ascontiguousarray(scaled.values[rows[raw]]).view(np.int64)
        bits[:, 1:] ^= bits[:, :-1].copy()
        raws = compress(shuffle(bits))
        floats = bytes(standalone.simple_compress(scaled.values[rows[raw]].ravel(), _PCODEC_FLOATS))
        if len(floats) < len(raws):
            raws, flags = floats, flags | _RAW_FLOATS
    sizes = len(exceptions), len(ints), len(raws), len(typed)
    head = _HEADER.pack(FRAME_VERSION, flags, len(rows), width, *sizes)
    scales = exponents.tobytes() + scaled.shifts[rows].tobytes()
    return _sealed(head + scales + exceptions + ints + raws + typed)


def decode_frame(data: bytes | memoryview) -> tuple[Floats, bool]:
    """Return the matrix of a frame, shape (k, T), and whether it is dense.

    Raises:
        StorageError: If the frame is damaged or of an unknown version.
    """
    values, dense, _ = open_frame(data)
    return values, dense


def open_frame(data: bytes | memoryview) -> tuple[Floats, bool, memoryview]:
    """Return what ``decode_frame`` does, and the typed part.

    Raises:
        StorageError: If the frame is damaged or of an unknown version.
    """
    flags, rows, width, sizes, body = _opened(data)
    exponents = np.frombuffer(body, np.uint8, rows)
    shifts = np.frombuffer(body, np.uint8, rows, offset=rows)
    first = 2 * rows
    ends = np.cumsum([first, *sizes]).tolist()
    exceptions, ints, raws, typed = (body[a:b] for a, b in itertools.pairwise(ends))
    raw = exponents == RAW
    values: Floats
    if not raw.any():
        values = unscale(_summed(ints, rows, width), exponents, shifts)
    else:
        values = np.empty((rows, width))
        if len(ints):
            kept = int((~raw).sum())
            scaled = _summed(ints, kept, width)
            values[~raw] = unscale(scaled, exponents[~raw], shifts[~raw])
        values.view(np.int64)[raw] = _raw_bits(raws, flags, width)
    if len(exceptions):
        (count,) = _CRC.unpack_from(exceptions)
        block = decompress(exceptions[_CRC.size :])
        places = np.cumsum(np.frombuffer(block, np.uint32, count), dtype=np.int64)
        values.view(np.int64).reshape(-1)[places] = unshuffle(block[4 * count :], np.int64)
    return values, bool(flags & _DENSE), typed


def _raw_bits(data: memoryview, flags: int, width: int) -> Ints:
    if flags & _RAW_FLOATS:
        floats = standalone.simple_decompress(bytes(data))
        return np.asarray(floats).view(np.int64).reshape(-1, width)
    bits = unshuffle(decompress(data), np.int64).reshape(-1, width)
    np.bitwise_xor.accumulate(bits, axis=1, out=bits)
    return bits


def check_frame(data: bytes | memoryview) -> None:
    """Look whether a frame is whole, without decoding it.

    Raises:
        DamagedError: If it is not.
    """
    _opened(data)


def encode_times(ts_ms: Ints) -> bytes:
    """Encode timestamps, shape (g, T), rows padded with TS_PAD."""
    rows, width = ts_ms.shape
    pad = ts_ms == TS_PAD
    counts = (width - pad.sum(axis=1)).astype(np.uint32)
    last = np.take_along_axis(ts_ms, np.maximum(counts.astype(np.int64) - 1, 0)[:, None], axis=1)
    filled = np.where(pad, last, ts_ms)
    deltas = np.diff(filled, axis=1, prepend=0)
    deltas[:, 2:] = np.diff(deltas[:, 1:], axis=1)
    ints = pack_ints(deltas)
    head = _HEADER.pack(FRAME_VERSION, _TIMES, rows, width, 4 * rows, len(ints), 0, 0)
    return _sealed(head + bytes(rows) + counts.tobytes() + ints)


def decode_times(data: bytes | memoryview) -> Ints:
    """Return timestamps as they were given to ``encode_times``.

    Raises:
        StorageError: If the frame is damaged or of an unknown version.
    """
    flags, rows, width, sizes, body = _opened(data)
    if not flags & _TIMES:
        raise StorageError("a frame of values stands where timestamps should be")
    counts = np.frombuffer(body, np.uint32, rows, offset=rows)
    ints = body[rows + sizes[0] : rows + sizes[0] + sizes[1]]
    deltas = np.array(standalone.simple_decompress(bytes(ints)), dtype=np.int64)
    deltas = deltas.reshape(rows, width)
    np.cumsum(deltas[:, 1:], axis=1, out=deltas[:, 1:])
    ts: Ints = np.cumsum(deltas, axis=1)
    ts[np.arange(width) >= counts[:, None]] = TS_PAD
    return ts


def shuffle(array: npt.NDArray[Any]) -> bytes:
    """Return an array's bytes, first all first bytes, then all second ones, and so on."""
    width = array.dtype.itemsize
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1, width).T.tobytes()


def unshuffle(data: bytes | memoryview, dtype: type[Any]) -> npt.NDArray[Any]:
    """Undo ``shuffle``; a new one-dimensional array."""
    width = np.dtype(dtype).itemsize
    planes = np.frombuffer(data, np.uint8).reshape(width, -1)
    return np.array(planes.T, order="C").reshape(-1).view(dtype)


def compress(data: bytes, level: int = 1) -> bytes:
    """Compress with zstd."""
    name = f"zstd{level}"
    tool = getattr(_local, name, None)
    if tool is None:
        tool = zstandard.ZstdCompressor(level=level)
        setattr(_local, name, tool)
    packed: bytes = tool.compress(data)
    return packed


def decompress(data: bytes | memoryview) -> bytes:
    """Undo ``compress``.

    Raises:
        StorageError: If the data is not zstd.
    """
    tool = getattr(_local, "unzstd", None)
    if tool is None:
        tool = _local.unzstd = zstandard.ZstdDecompressor()
    try:
        plain: bytes = tool.decompress(data)
    except zstandard.ZstdError as error:
        raise DamagedError(f"damaged zstd data: {error}") from error
    return plain


def pack_ints(deltas: Ints) -> bytes:
    """Pack whole numbers of any shape."""
    packed: bytes = standalone.simple_compress(np.ascontiguousarray(deltas).reshape(-1), _PCODEC)
    return packed


def unpack_ints(data: memoryview, rows: int, width: int) -> Ints:
    """Undo ``pack_ints``."""
    out = np.empty(rows * width, dtype=np.int64)
    standalone.simple_decompress_into(bytes(data), out)
    return out.reshape(rows, width)


def _summed(data: memoryview, rows: int, width: int) -> Ints:
    ints = unpack_ints(data, rows, width)
    np.cumsum(ints, axis=1, out=ints)
    return ints


def join_blobs(blobs: Sequence[bytes]) -> bytes:
    """Put byte strings behind one another, their number and sizes before them."""
    sizes = np.array([len(blobs), *(len(blob) for blob in blobs)], dtype=np.uint32)
    return b"".join([sizes.tobytes(), *blobs])


def split_blobs(data: memoryview) -> list[memoryview]:
    """Undo ``join_blobs``."""
    (count,) = _CRC.unpack_from(data)
    ends = np.cumsum(np.frombuffer(data, np.uint32, count, offset=4), dtype=np.int64)
    bounds = [0, *ends.tolist()]
    body = data[4 + 4 * count :]
    return [body[a:b] for a, b in itertools.pairwise(bounds)]


def _sealed(data: bytes) -> bytes:
    return data + _CRC.pack(zlib.crc32(data))


def _opened(
    data: bytes | memoryview,
) -> tuple[int, int, int, list[int], memoryview]:
    view = memoryview(data)
    if len(view) < _HEADER.size + _CRC.size:
        raise DamagedError("a frame is cut short")
    (crc,) = _CRC.unpack_from(view, len(view) - _CRC.size)
    if zlib.crc32(view[: -_CRC.size]) != crc:
        raise DamagedError("the checksum of a frame is wrong")
    version, flags, rows, width, *sizes = _HEADER.unpack_from(view)
    if not 1 <= version <= FRAME_VERSION:
        raise StorageError(f"frame version {version} is unknown here; use a newer Taskscope")
    return flags, rows, width, sizes, view[_HEADER.size : -_CRC.size]
