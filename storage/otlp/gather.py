"""From the places of numbers in a request to columns of samples."""

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Floats, Ints
from storage.otlp.walk import Histograms, Numbers, Walked

_NS: np.uint64 = np.uint64(1_000_000)
_INT = 0x31

Bytes = npt.NDArray[np.uint8]


class Columns(Struct):
    """Samples of numbered series, all of shape (n,).

    Attributes:
        rows: Numbers of the series.
        ts_ms: Times.
        values: Values.
        start_ms: Start timestamps, 0 for none.
        parts: Which part of the request each is of.
    """

    rows: Ints
    ts_ms: Ints
    values: Floats
    start_ms: Ints
    parts: Ints


def gather(data: bytes, walked: Walked) -> Columns | None:
    """Return the samples of a request, None if there are none."""
    raw = np.frombuffer(data, dtype=np.uint8)
    found = []
    if walked.numbers.rows:
        ends = np.array([part.numbers for part in walked.parts])
        parts = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
        found.append(_numbers(raw, walked.numbers, parts))
    found += [
        _histograms(raw, places, buckets, has_sum=has_sum)
        for (buckets, has_sum), places in walked.histograms.items()
    ]
    if len(found) < 2:
        return found[0] if found else None
    return Columns(
        np.concatenate([one.rows for one in found]),
        np.concatenate([one.ts_ms for one in found]),
        np.concatenate([one.values for one in found]),
        np.concatenate([one.start_ms for one in found]),
        np.concatenate([one.parts for one in found]),
    )


def _numbers(raw: Bytes, places: Numbers, parts: Ints) -> Columns:
    at = np.array(places.at)
    bits = _words(raw, at + 10)
    values: Floats = bits.view(np.float64)
    whole = raw[at + 9] == _INT
    if whole.any():
        values = np.where(whole, bits.view(np.int64).astype(np.float64), values)
    ts_ms = _ms(_words(raw, at + 1))
    return Columns(np.array(places.rows), ts_ms, values, _starts(raw, at, places.starts), parts)


def _histograms(raw: Bytes, places: Histograms, buckets: int, *, has_sum: bool) -> Columns:
    at = np.array(places.at)
    head = int(has_sum)  # columns before the count
    width = head + 1 + buckets
    values = np.empty((len(at), width))
    if has_sum:
        values[:, 0] = _words(raw, at + 19).view(np.float64)
    count = _words(raw, at + 10).astype(np.float64)
    values[:, head] = count
    each = raw[np.array(places.counts)[:, None] + np.arange(8 * buckets)].view(np.uint64)
    np.cumsum(each.astype(np.float64), axis=1, out=values[:, head + 1 :])
    values[:, -1] = count
    rows = np.array(places.rows)[:, None] + np.arange(width)
    return Columns(
        rows.ravel(),
        np.repeat(_ms(_words(raw, at + 1)), width),
        values.ravel(),
        np.repeat(_starts(raw, at, places.starts), width),
        np.repeat(np.array(places.parts), width),
    )


def _words(raw: Bytes, at: Ints) -> npt.NDArray[np.uint64]:
    """Return the eight bytes at each place."""
    words: npt.NDArray[np.uint64] = raw[at[:, None] + np.arange(8)].view(np.uint64).ravel()
    return words


def _ms(ns: npt.NDArray[np.uint64]) -> Ints:
    return (ns // _NS).astype(np.int64)


def _starts(raw: Bytes, at: Ints, here: list[bool]) -> Ints:
    some = np.array(here)
    out = np.zeros(len(at), dtype=np.int64)
    if some.any():
        out[some] = _ms(_words(raw, at[some] - 8))
    return out
