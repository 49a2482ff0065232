"""From the places of numbers in a request to columns of samples."""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Floats, Ints
from storage.otlp.walk import Histograms, Numbers, Walked

_NS: Final = np.uint64(1_000_000)
_INT: Final = 0x31
_WORD: Final = 8

Words = npt.NDArray[np.uint64]
Index = npt.NDArray[np.int64]


class Columns(Struct):
    """Samples of numbered series, all of shape (n,).

    Attributes:
        rows: Numbers of the series.
        ts_ms: Times.
        values: Values.
        start_ms: Start timestamps, 0 for none.
        parts: Which part of the request each is of.
    """

    rows: Index
    ts_ms: Ints
    values: Floats
    start_ms: Ints
    parts: Index


class _Numbers(Struct, frozen=True):
    """Gauges and sums: where their times, values and starts are; ``whole`` are integers."""

    time_at: Index
    whole: Index
    started: Index

    def read(self, words: Words, out: slice, into: Columns) -> None:
        bits = words[self.time_at + 9]
        values = bits.view(np.float64)
        if len(self.whole):
            values[self.whole] = bits[self.whole].view(np.int64)
        into.values[out] = values
        into.ts_ms[out] = words[self.time_at] // _NS
        starts = into.start_ms[out]
        starts[self.started] = words[self.time_at[self.started] - 9] // _NS


class _Histograms(Struct, frozen=True):
    """Histograms of one width; ``counts_at`` has the shape (points, buckets)."""

    time_at: Index
    started: Index
    counts_at: Index
    head: int

    def read(self, words: Words, out: slice, into: Columns) -> None:
        size, buckets = self.counts_at.shape
        values = into.values[out].reshape(size, -1)
        if self.head:
            values[:, 0] = words[self.time_at + 18].view(np.float64)
        values[:, self.head] = words[self.time_at + 9]
        np.cumsum(words[self.counts_at].astype(np.float64), axis=1, out=values[:, -buckets:])
        values[:, -1] = values[:, self.head]
        into.ts_ms[out].reshape(size, -1)[:] = (words[self.time_at] // _NS)[:, None]
        starts = into.start_ms[out].reshape(size, -1)
        starts[self.started] = (words[self.time_at[self.started] - 9] // _NS)[:, None]


class Plan(Struct, frozen=True):
    """Where all numbers of a request are; good for each that differs in nothing but these.

    Attributes:
        rows: Of ``Columns``.
        parts: Likewise.
        readers: What reads which samples.
    """

    rows: Index
    parts: Index
    readers: tuple[tuple[slice, _Numbers | _Histograms], ...]

    def read(self, data: bytes) -> Columns:
        """Return the samples of a request."""
        size = len(self.rows)
        words = np.ndarray((len(data) - _WORD + 1,), dtype="<u8", buffer=data, strides=(1,))
        out = Columns(
            self.rows,
            np.empty(size, dtype=np.int64),
            np.empty(size),
            np.zeros(size, dtype=np.int64),
            self.parts,
        )
        for where, reader in self.readers:
            reader.read(words, where, out)
        return out

    def places(self) -> Index:
        """Return where in the request each number begins."""
        found = []
        for _, one in self.readers:
            found += [one.time_at, one.time_at + 9, one.time_at[one.started] - 9]
            if isinstance(one, _Histograms):
                found += [one.counts_at.ravel(), *([one.time_at + 18] if one.head else [])]
        return np.concatenate(found)


def plan(data: bytes, walked: Walked) -> Plan | None:
    """Return how the samples of a request are read, None if there are none."""
    rows, parts = [], []
    readers: list[tuple[slice, _Numbers | _Histograms]] = []
    at = 0
    if walked.numbers.rows:
        numbers, ends = walked.numbers, np.array([part.numbers for part in walked.parts])
        rows.append(np.array(numbers.rows))
        parts.append(np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)))
        at = len(numbers.rows)
        readers.append((slice(0, at), _numbers(data, numbers)))
    for (buckets, has_sum), places in walked.histograms.items():
        width = has_sum + 1 + buckets
        rows.append((np.array(places.rows)[:, None] + np.arange(width)).ravel())
        parts.append(np.repeat(np.array(places.parts), width))
        readers.append((slice(at, at + len(rows[-1])), _histograms(places, buckets, int(has_sum))))
        at += len(rows[-1])
    return Plan(np.concatenate(rows), np.concatenate(parts), tuple(readers)) if rows else None


def _numbers(data: bytes, places: Numbers) -> _Numbers:
    raw = np.frombuffer(data, dtype=np.uint8)
    at = np.array(places.at)
    return _Numbers(at + 1, np.flatnonzero(raw[at + 9] == _INT), np.flatnonzero(places.starts))


def _histograms(places: Histograms, buckets: int, head: int) -> _Histograms:
    counts_at = np.array(places.counts)[:, None] + np.arange(buckets) * _WORD
    return _Histograms(np.array(places.at) + 1, np.flatnonzero(places.starts), counts_at, head)
