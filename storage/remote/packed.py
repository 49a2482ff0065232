"""Packed repeated fields of protobuf, many at once with numpy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.samples import Ints
from storage.remote.wire import WireError

Numbers = npt.NDArray[np.uint64]


def read_packed(pieces: Sequence[bytes]) -> tuple[Numbers, Ints]:
    """Decode the varints of many packed fields.

    Returns:
        ``(numbers, counts)``: all numbers behind each other, and how many each piece has.

    Raises:
        WireError: If a piece ends within a number, or a number is longer than ten bytes.
    """
    sizes = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
    raw = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    last = raw < 0x80
    edges = np.cumsum(sizes)
    if not last[edges[sizes > 0] - 1].all():
        raise WireError("a number is cut off")
    ends = np.flatnonzero(last) + 1
    counts = np.diff(np.searchsorted(ends, np.concatenate([[0], edges]), side="right"))
    if not len(ends):
        return np.empty(0, dtype=np.uint64), counts
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    if int(lengths.max()) > 10:
        raise WireError("a number is too long")
    place = np.arange(len(raw)) - np.repeat(starts, lengths)
    digits = (raw & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.bitwise_or.reduceat(digits, starts), counts


def unzigzag(numbers: Numbers) -> Ints:
    """Return signed numbers from protobuf's sint form."""
    one = np.uint64(1)
    folded: Ints = (numbers >> one).view(np.int64) ^ -(numbers & one).view(np.int64)
    return folded


def running_sums(numbers: Ints, counts: Ints) -> Ints:
    """Return the running sum within each piece."""
    sums: Ints = np.cumsum(numbers)
    before = np.concatenate([[0], sums])[np.cumsum(counts) - counts]
    within: Ints = sums - np.repeat(before, counts)
    return within


def read_doubles(pieces: Sequence[bytes]) -> tuple[npt.NDArray[np.float64], Ints]:
    """Decode the doubles of many packed fields; as ``read_packed``."""
    sizes = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
    if (sizes % 8).any():
        raise WireError("a number is cut off")
    return np.frombuffer(b"".join(pieces), dtype=np.float64), sizes // 8
