"""Native histograms of remote write requests, all of a request at once.

Bucket spans, which seldom change, are worked out once for each form; counts stay bytes until the
whole request is read and are then decoded with numpy.
What is refused and how it is worded follows prometheus model/histogram, ``Validate``.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from model.histogram.pool import CUSTOM_SCHEMA, HistogramPool
from model.samples import Bools, Floats, Ints, is_stale
from storage.remote.columns import HistogramRows, Rows, joined
from storage.remote.histogram_fields import (
    BOUNDS,
    COUNT,
    HINT,
    NEGATIVE,
    POSITIVE,
    SCHEMA,
    START,
    SUM,
    THRESHOLD,
    TIME,
    ZERO,
    Fields,
    read_fields,
)
from storage.remote.histogram_forms import MAX_COLUMNS
from storage.remote.histogram_templates import Templates
from storage.remote.packed import read_doubles, read_packed, running_sums, unzigzag
from storage.remote.wire import read_delimited, read_varint, skip

_COARSEST: Final = -4
_FINEST: Final = 8
_FINEST_SENT: Final = 52  # schemas 9 to 52 are reserved: taken, and merged down to 8
_MAX_BUCKETS: Final = 1 << 20
_MAX_FORMS: Final = 65_536


class _Side(Struct):
    """The buckets of one side of all histograms, one entry each.

    Attributes:
        rows: int64, shape (buckets,): which histogram.
        index: int64, shape (buckets,).
        counts: float64, shape (buckets,).
    """

    rows: Ints
    index: Ints
    counts: Floats

    def only(self, good: Bools) -> "_Side":
        """Leave out the histograms that are not good."""
        kept = good[self.rows]
        number = np.cumsum(good) - 1
        return _Side(number[self.rows[kept]], self.index[kept], self.counts[kept])

    def extent(self, size: int) -> tuple[Ints, Ints]:
        """Return the first index of each histogram, and how far it reaches (0 without buckets)."""
        low = np.full(size, np.iinfo(np.int64).max)
        high = np.full(size, np.iinfo(np.int64).min)
        np.minimum.at(low, self.rows, self.index)
        np.maximum.at(high, self.rows, self.index)
        some = high >= low
        return np.where(some, low, 0), np.where(some, high, -1) - np.where(some, low, 0) + 1

    def merged(self, down: Ints) -> "_Side":
        """Make each histogram's schema coarser by that much."""
        return _Side(self.rows, ((self.index - 1) >> down[self.rows]) + 1, self.counts)

    def laid_out(self, size: int) -> tuple[npt.NDArray[np.int32], Floats]:
        """Return ``(first, matrix)`` as a pool has it."""
        first, reach = self.extent(size)
        matrix = np.zeros((size, int(reach.max(initial=0))))
        np.add.at(matrix, (self.rows, self.index - first[self.rows]), self.counts)
        return first.astype(np.int32), matrix

    def sums(self, size: int) -> Floats:
        """Return each histogram's observations in this side."""
        sums: Floats = np.bincount(self.rows, weights=self.counts, minlength=size).astype(
            np.float64
        )
        return sums


class SpanForms:
    """Bucket indices by the bytes of their spans; kept from request to request."""

    def __init__(self) -> None:
        self._known: dict[bytes, Ints | None] = {b"": np.empty(0, dtype=np.int64)}

    def indices(self, spans: bytes) -> Ints | None:
        """Return the index of each bucket, None if the spans are wrong.

        Raises:
            WireError: If they are no spans.
        """
        if spans not in self._known:
            if len(self._known) > _MAX_FORMS:
                self._known = {b"": np.empty(0, dtype=np.int64)}
            self._known[spans] = _indices(spans)
        return self._known[spans]


class HistogramReader(Struct):
    """Gathers the histograms of one request.

    Attributes:
        forms: What is known of spans.
        templates: What messages of each series look like, where series are numbered for good.
        rows: Number of the series of each.
        data: The request.
        places: Where each begins and ends in it.
    """

    forms: SpanForms
    templates: Templates | None = None
    rows: list[int] = field(default_factory=list)
    data: bytes = b""
    places: list[tuple[int, int]] = field(default_factory=list)

    def read(self, data: bytes, at: int, end: int, row: int) -> None:
        """Take one Histogram message; it is looked at by ``columns``."""
        self.data = data
        self.rows.append(row)
        self.places.append((at, end))

    def columns(self, faults: list[str]) -> HistogramRows | None:
        """Return the histograms; what is wrong with those that are left out is added to ``faults``.

        Raises:
            WireError: If a message is none, or its counts cannot be read.
        """
        if not self.rows:
            return None
        rows, edges = np.array(self.rows, dtype=np.int64), np.array(self.places, dtype=np.int64)
        if self.templates is None:
            return self._by_fields(rows, edges, faults)[0]
        found, read = self.templates.read(self.data, rows, edges[:, 0], edges[:, 1])
        if read.all():
            return found
        places = np.flatnonzero(~read)
        others, good = self._by_fields(rows[places], edges[places], faults)
        if found is None:
            return others
        order = np.argsort(np.concatenate([np.flatnonzero(read), places[good]]), kind="stable")
        return joined([found, others], order)

    def _by_fields(self, rows: Rows, edges: Ints, faults: list[str]) -> tuple[HistogramRows, Bools]:
        """Read messages by their fields, and tell which ones are not left out."""
        size = len(rows)
        fields = read_fields(self.data, edges)
        numbers, doubles, integer = fields.numbers, fields.doubles, fields.integer
        stale = is_stale(doubles[:, SUM])
        bounds, bound_counts = read_doubles(fields.packed[BOUNDS])
        judge = _Judge(size)
        found = _Histograms(
            schema=unzigzag(numbers[:, SCHEMA]),
            count=np.where(integer, numbers[:, COUNT].astype(np.float64), doubles[:, COUNT]),
            sum=doubles[:, SUM],
            zero=np.where(integer, numbers[:, ZERO].astype(np.float64), doubles[:, ZERO]),
            threshold=doubles[:, THRESHOLD],
            hint=np.minimum(numbers[:, HINT], 3).astype(np.int8),
            positive=self._side(fields, 1, POSITIVE, judge),
            negative=self._side(fields, 0, NEGATIVE, judge),
            bounds=_ragged(bounds, bound_counts),
        )
        found.check(judge, integer)
        good = stale | ~judge.bad
        faults.extend(judge.sentences(~good))
        times = numbers.view(np.int64)
        if self.templates is not None:
            self._learn(self.templates, rows, edges, fields, good & ~stale)
        read = HistogramRows(
            rows=rows[good],
            ts_ms=times[good, TIME],
            start_ms=times[good, START],
            stale=stale[good],
            pool=found.pool(good),
        )
        return read, good

    def _learn(
        self, templates: Templates, rows: Rows, edges: Ints, fields: Fields, some: Bools
    ) -> None:
        """Let messages like some of these be known again."""
        places = np.flatnonzero(some)
        index = [self.forms.indices(fields.spans[1][place]) for place in places.tolist()]
        templates.learn(self.data, rows[places], edges[places, 0], edges[places, 1], index)

    def _side(self, fields: Fields, spans: int, deltas: int, judge: "_Judge") -> "_Side":
        """Decode the buckets of one side."""
        integer = fields.integer
        changes, change_counts = read_packed(fields.packed[deltas])
        floats, float_counts = read_doubles(fields.packed[deltas + 1])
        sums = running_sums(unzigzag(changes), change_counts).astype(np.float64)
        counts = np.where(integer, change_counts, float_counts)
        forms = [self.forms.indices(one) for one in fields.spans[spans]]
        lengths = np.array([-1 if one is None else len(one) for one in forms], dtype=np.int64)
        fits = lengths == counts
        judge.note(~fits, "histogram spans do not fit its buckets")
        rows = np.arange(len(forms))
        kept = [
            one for one, fit in zip(forms, fits.tolist(), strict=True) if fit and one is not None
        ]
        index = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
        # in the order of the histograms: integer ones from the deltas, the others from the floats
        values = np.empty(len(index), dtype=np.float64)
        whose = np.repeat(rows, np.where(fits, counts, 0))
        from_deltas = integer[whose]
        values[from_deltas] = sums[np.repeat(integer & fits, change_counts)]
        values[~from_deltas] = floats[np.repeat(~integer & fits, float_counts)]
        return _Side(whose, index, values)


class _Judge:
    """Remembers the first thing that is wrong with each histogram."""

    def __init__(self, size: int) -> None:
        self.bad: Bools = np.zeros(size, dtype=np.bool_)
        self._what = np.zeros(size, dtype=np.int64)
        self._texts: list[str] = []

    def note(self, wrong: Bools, text: str) -> None:
        """Say what is wrong with some."""
        fresh = wrong & ~self.bad
        if fresh.any():
            self._what[fresh] = len(self._texts)
            self._texts.append(text)
            self.bad |= wrong

    def sentences(self, rows: Bools) -> list[str]:
        """Return what was said of some."""
        return [self._texts[n] for n in self._what[rows].tolist()]


class _Histograms(Struct, frozen=True):
    """All histograms of a request; arrays of shape (n,), ``bounds`` (n, C)."""

    schema: Ints
    count: Floats
    sum: Floats
    zero: Floats
    threshold: Floats
    hint: npt.NDArray[np.int8]
    positive: _Side
    negative: _Side
    bounds: Floats

    def check(self, judge: _Judge, integer: Bools) -> None:
        """Find out which ones are wrong."""
        size = len(self.schema)
        custom = self.schema == CUSTOM_SCHEMA
        known = (self.schema >= _COARSEST) & (self.schema <= _FINEST_SENT)
        judge.note(~known & ~custom, "histogram has an invalid schema")
        for side, name in ((self.positive, "positive"), (self.negative, "negative")):
            below = np.zeros(size, dtype=np.bool_)
            below[side.rows[side.counts < 0]] = True
            judge.note(below, f"{name} side: histogram has a bucket whose observation count is negative")  # fmt: skip
        judge.note(self.zero < 0, "zero bucket has a negative observation count")
        judge.note(self.count < 0, "histogram's observation count is negative")
        has_bounds = ~np.isnan(self.bounds).all(axis=1)
        judge.note(~custom & has_bounds, "histogram with exponential schema must not have custom bounds")  # fmt: skip
        rising = np.ones(size, dtype=np.bool_)
        if self.bounds.shape[1]:
            steps = np.diff(self.bounds, axis=1)
            falls = (steps <= 0).any(axis=1) | np.isposinf(self.bounds).any(axis=1)
            rising = np.logical_not(falls)
        judge.note(custom & ~rising, "custom buckets: histogram custom bounds must be finite and in strictly increasing order")  # fmt: skip
        judge.note(custom & ((self.zero != 0) | (self.threshold != 0)), "custom buckets: must have zero count and threshold of 0")  # fmt: skip
        wrong = np.zeros(size, dtype=np.bool_)
        wrong[self.negative.rows] = True
        judge.note(custom & wrong, "custom buckets: must not have negative buckets")
        number = (~np.isnan(self.bounds)).sum(axis=1)
        whose = self.positive.rows
        outside = (self.positive.index < 0) | (self.positive.index > number[whose])
        wrong = np.zeros(size, dtype=np.bool_)
        wrong[whose[outside]] = True
        judge.note(custom & wrong, "custom buckets: only one more bucket than bounds is allowed")
        told = self.positive.sums(size) + self.negative.sums(size) + self.zero
        with np.errstate(invalid="ignore"):
            unequal = np.where(np.isnan(self.sum), told > self.count, told != self.count)
        judge.note(integer & unequal, "histogram's observation count should equal the number of observations found in the buckets")  # fmt: skip

    def pool(self, good: Bools) -> HistogramPool:
        """Lay the good ones out, merged down where they are finer or wider than we keep."""
        positive, negative = self.positive.only(good), self.negative.only(good)
        schema, size = self.schema[good], int(good.sum())
        custom = schema == CUSTOM_SCHEMA
        down = np.where(custom, 0, np.maximum(schema - _FINEST, 0))
        while True:
            sides = positive.merged(down), negative.merged(down)
            wide = np.maximum(sides[0].extent(size)[1], sides[1].extent(size)[1]) > MAX_COLUMNS
            wide &= ~custom & (schema - down > _COARSEST)
            if not wide.any():
                break
            down = down + wide
        first, counts = sides[0].laid_out(size)
        negative_first, negative_counts = sides[1].laid_out(size)
        return HistogramPool(
            schema=(schema - down).astype(np.int32),
            count=self.count[good],
            sum=self.sum[good],
            zero_count=self.zero[good],
            zero_threshold=self.threshold[good],
            hint=self.hint[good],
            first=first,
            positive=counts,
            negative_first=negative_first,
            negative=negative_counts,
            bounds=self.bounds[good],
        )


def _ragged(values: Floats, counts: Ints) -> Floats:
    """Put rows of different length into a matrix, padded with NaN."""
    matrix = np.full((len(counts), int(counts.max(initial=0))), np.nan)
    matrix[np.arange(matrix.shape[1]) < counts[:, None]] = values
    return matrix


def _indices(spans: bytes) -> Ints | None:
    """Return the index of each bucket of the spans, None if they are wrong."""
    parts: list[Ints] = []
    at, place, total = 0, 0, 0
    while at < len(spans):
        at, end = read_delimited(spans, at + 1, len(spans))
        offset = length = 0
        while at < end:
            tag, at = read_varint(spans, at)
            if tag == 0x08:
                number, at = read_varint(spans, at)
                offset = (number >> 1) ^ -(number & 1)
            elif tag == 0x10:
                length, at = read_varint(spans, at)
            else:
                at = skip(spans, tag, at, end)
        total += length
        if (offset < 0 and parts) or total > _MAX_BUCKETS or abs(offset) >> 31:
            return None
        place += offset
        parts.append(np.arange(place, place + length, dtype=np.int64))
        place += length
    return np.concatenate(parts)
