"""Number columns as few bytes: whole numbers in as narrow a type as they fit, bytes shuffled, in zstd."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.errors import StorageError
from storage.tsdb.codec import compress, decompress
from storage.tsdb.container import pack, unpack

_EXACT: Final = 2.0**53  # integers up to here are exact as floats
_NARROW: Final = ("|u1", "<u2", "<u4")
_ABOUT: Final = "="  # the field that says of each column how it is stored and what it was


def pack_columns(columns: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return arrays of any shape as bytes; every bit of them comes back."""
    about, fields = [], {}
    for name, column in columns.items():
        stored = narrowed(column)
        about.append(f"{name} {stored.dtype.str} {column.dtype.str}")
        planes = np.ascontiguousarray(stored).view(np.uint8).reshape(-1, stored.itemsize).T
        shape = [stored.itemsize, *column.shape]
        fields[name] = np.ascontiguousarray(planes).reshape(shape)
    return compress(pack({_ABOUT: about, **fields}))


def unpack_columns(data: bytes | memoryview) -> dict[str, npt.NDArray[Any]]:
    """Undo ``pack_columns``; new arrays.

    Raises:
        StorageError: If the bytes are not what ``pack_columns`` makes.
    """
    fields = unpack(decompress(data))
    try:
        columns = {}
        for line in fields[_ABOUT]:
            name, stored, restored = line.split(" ")
            planes = fields[name]
            shape = planes.shape[1:]
            flat = np.ascontiguousarray(planes.reshape(planes.shape[0], -1).T)
            columns[name] = flat.reshape(-1).view(stored).astype(restored).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"damaged columns: {error}") from error
    return columns


def narrowed(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a column in the narrowest unsigned type that keeps every bit; as it is if none does."""
    if not column.size or column.itemsize == 1:
        return column
    if column.dtype.kind == "f":
        top = column.max()
        if not top <= _EXACT or np.signbit(column).any():
            return column
        whole = column.astype(np.int64)
        if not np.array_equal(whole, column):
            return column
    else:
        whole = column
        if int(whole.min()) < 0:
            return column
        top = whole.max()
    for dtype in _NARROW:
        if top <= np.iinfo(dtype).max and np.dtype(dtype).itemsize < column.itemsize:
            return whole.astype(dtype)
    return whole.astype(np.int64) if column.dtype.kind == "f" else column
