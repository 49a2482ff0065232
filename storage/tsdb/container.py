"""Named arrays and string lists as one run of bytes: ``u32 size of head | head (JSON) | arrays``."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.labels import LabelColumn, LabelTable
from storage.tsdb.damage import DamagedError

_SIZE: Final = struct.Struct("<I")
_DTYPES: Final = frozenset({"<i8", "<i4", "<u4", "|u1", "|b1", "<f8"})

Field = npt.NDArray[Any] | Sequence[str]


def pack(fields: Mapping[str, Field]) -> bytes:
    """Return arrays (any shape) and lists of strings as bytes."""
    head: list[tuple[str, str, list[int], int]] = []
    blobs: list[bytes] = []
    for name, field in fields.items():
        if isinstance(field, np.ndarray):
            blob = np.ascontiguousarray(field).tobytes()
            head.append((name, field.dtype.str, list(field.shape), len(blob)))
        else:
            encoded = [text.encode(errors="surrogatepass") for text in field]
            sizes = np.array([len(e) for e in encoded], dtype=np.uint32)
            blob = sizes.tobytes() + b"".join(encoded)
            head.append((name, "str", [len(encoded)], len(blob)))
        blobs.append(blob)
    packed = json.dumps(head).encode()
    return b"".join([_SIZE.pack(len(packed)), packed, *blobs])


def unpack(data: bytes | memoryview) -> dict[str, Any]:
    """Undo ``pack``; the arrays are read-only views.

    Raises:
        StorageError: If the bytes are not what ``pack`` makes.
    """
    view = memoryview(data)
    fields: dict[str, Any] = {}
    try:
        (size,) = _SIZE.unpack_from(view)
        at = _SIZE.size + size
        for name, dtype, shape, length in json.loads(bytes(view[_SIZE.size : at])):
            blob = view[at : at + length]
            at += length
            if dtype == "str":
                fields[name] = _strings(blob, shape[0])
            elif dtype in _DTYPES:
                fields[name] = np.frombuffer(blob, dtype).reshape(shape)
            else:
                raise ValueError(f"unknown type {dtype}")
    except (ValueError, TypeError, IndexError, struct.error) as error:
        raise DamagedError(f"damaged columns: {error}") from error
    return fields


def pack_table(table: LabelTable) -> dict[str, Field]:
    """Return a label table as fields for ``pack``; only strings that occur are kept."""
    fields: dict[str, Field] = {"names": sorted(table.columns)}
    for number, name in enumerate(sorted(table.columns)):
        column = table.columns[name]
        used, codes = np.unique(column.codes, return_inverse=True)
        if not len(used) or used[0]:
            used, codes = np.append(0, used), codes + 1
        fields[f"codes{number}"] = codes.reshape(-1).astype(np.int32)
        fields[f"values{number}"] = [column.values[code] for code in used.tolist()]
    return fields


def unpack_table(fields: Mapping[str, Any], size: int) -> LabelTable:
    """Undo ``pack_table``."""
    return LabelTable(
        size,
        {
            name: LabelColumn(fields[f"codes{number}"], fields[f"values{number}"])
            for number, name in enumerate(fields["names"])
        },
    )


def _strings(blob: memoryview, count: int) -> list[str]:
    sizes = np.frombuffer(blob[: 4 * count], np.uint32)
    ends = (4 * count + np.cumsum(sizes, dtype=np.int64)).tolist()
    text = bytes(blob)
    starts = [4 * count, *ends]
    return [
        text[a:b].decode(errors="surrogatepass")
        for a, b in zip(starts[: len(ends)], ends, strict=True)
    ]
