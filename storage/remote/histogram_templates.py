"""Histogram messages whose form is known from the one of the same series before.

Between two messages of a series its count, sum, bucket counts and time change, and hardly ever
anything else. What stood around these last time, a *template*, is compared as bytes, for all messages
of a request at once; the spans need not be looked at again then. Whatever differs from its template
is left to ``histogram_fields``, and gives a new one.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from model.histogram.pool import HistogramPool
from model.samples import Bools, Floats, Ints
from storage.remote.columns import HistogramRows, Rows
from storage.remote.histogram_forms import (
    COUNT_TAG,
    TIME_BYTES,
    Bytes,
    Forms,
    Template,
    template_of,
)
from storage.remote.packed import running_sums, unzigzag

_MOST_TEMPLATES: Final = 1_000_000
_MOST_MESSAGES: Final = 200_000  # of the sequences that are remembered
_ROUNDS: Final = 3  # what differs is found out in steps: bytes, numbers of buckets, sums
_WINDOW: Final = np.arange(8)
_DIGITS: Final = 7 * _WINDOW
_SUM_WINDOW: Final = 1 + _WINDOW
_TIME_WINDOW: Final = np.arange(TIME_BYTES)
_GO_ON: Final = np.array([0x80] * (TIME_BYTES - 1) + [0], dtype=np.uint8)
_TIME_WEIGHTS: Final = 1 << np.arange(0, 7 * TIME_BYTES, 7, dtype=np.int64)


class Templates:
    """The templates of all series, and the sequences of them that came; for one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[int, Template | None] = {}
        self._sequences: OrderedDict[bytes, _Sequence] = OrderedDict()
        self._messages = 0
        self._open: tuple[bytes, Forms, Bools] | None = None

    def forget(self) -> None:
        """Begin anew."""
        self._known.clear()
        self._sequences.clear()
        self._messages = 0
        self._open = None

    def read(
        self, data: bytes, rows: Rows, starts: Ints, stops: Ints
    ) -> tuple[HistogramRows | None, Bools]:
        """Read the messages at ``data[start:stop]`` that look like their templates.

        Args:
            data: The request.
            rows: int64, shape (n,): series of each message.
            starts: int64, shape (n,).
            stops: int64, shape (n,).

        Returns:
            ``(histograms, read)``: those that were read, and which ones they are, shape (n,).
        """
        key, self._open = rows.tobytes(), None
        sequence = self._sequences.get(key)
        if sequence is None:
            known = self._known
            templates = [known.get(row) for row in rows.tolist()]
            good = np.array([template is not None for template in templates], dtype=np.bool_)
            if not good.any():
                return None, good
            sequence = _Sequence(Forms.of([one for one in templates if one is not None]))
            if good.all():
                self._remember(key, sequence)
        else:
            self._sequences.move_to_end(key)
            good = np.ones(len(rows), dtype=np.bool_)
        for _ in range(_ROUNDS):
            places: Any = slice(None) if good.all() else np.flatnonzero(good)
            found, fits = sequence.read(data, rows[places], starts[places], stops[places])
            if fits.all():
                self._open = None if good.all() else (key, sequence.forms, good)
                return found, good
            if key in self._sequences:
                self._messages -= self._sequences.pop(
                    key
                ).size  # what differs has another template soon
            good[np.flatnonzero(good)[~fits]] = False
            if not good.any():
                break
            sequence = _Sequence(sequence.forms.only(fits))
        return None, np.zeros(len(rows), dtype=np.bool_)

    def learn(
        self, data: bytes, rows: Rows, starts: Ints, stops: Ints, index: Sequence[Ints | None]
    ) -> None:
        """Take the forms of messages that were read otherwise; ``index`` is of their positive buckets.

        If they are those that were left over by ``read``, all stand behind one another again.
        """
        if len(self._known) > _MOST_TEMPLATES:
            self._known.clear()
        places = zip(rows.tolist(), starts.tolist(), stops.tolist(), index, strict=True)
        made = []
        for row, start, stop, buckets in places:
            one = None if buckets is None else template_of(data, start, stop, buckets)
            self._known[row] = one
            made.append(one)
        usual = [one for one in made if one is not None]
        if self._open is not None and usual:
            key, forms, good = self._open
            if len(usual) == len(good) - len(forms.counts):
                self._remember(key, _Sequence(forms.mended(Forms.of(usual), good)))

    def _remember(self, key: bytes, sequence: "_Sequence") -> None:
        if key not in self._sequences:
            self._messages += sequence.size
        self._sequences[key] = sequence
        while self._messages > _MOST_MESSAGES:
            _, gone = self._sequences.popitem(last=False)
            self._messages -= gone.size


class _Sequence:
    """Messages of known forms that stand behind one another."""

    def __init__(self, forms: Forms) -> None:
        self.forms = forms
        self.size = size = len(forms.counts)
        self._offsets = np.concatenate([_within(lengths) for lengths in forms.lengths])
        rows = np.arange(size)
        self._blocks = np.repeat(np.arange(3 * size), forms.lengths.ravel())
        self._owners = self._blocks % size
        self._room = int(forms.lengths.max()) + 32
        self._whose = np.repeat(rows, forms.counts)
        self._width = int(forms.columns.max(initial=-1)) + 1
        self._cells = self._whose * self._width + forms.columns
        self._none = np.zeros(size, dtype=np.int64)

    def read(
        self, data: bytes, rows: Rows, starts: Ints, stops: Ints
    ) -> tuple[HistogramRows | None, Bools]:
        """Read messages; see ``Templates.read``. Nothing is read if not all look like their templates."""
        forms = self.forms
        raw: Bytes = np.frombuffer(data + bytes(self._room), dtype=np.uint8)
        tails = np.maximum(stops - TIME_BYTES - forms.lengths[2], 0)
        count, heads, good = _numbers(raw, starts + 1)
        good &= raw[starts] == COUNT_TAG
        zero, middles, fine = _optional(raw, heads + forms.lengths[0], forms.has_zero)
        good &= fine
        sizes, deltas, fine = _optional(raw, middles + forms.lengths[1], forms.has_deltas)
        good &= fine & (sizes == tails - deltas)
        at = np.concatenate([heads, middles, tails])[self._blocks]
        at += self._offsets
        differs = raw.take(at, mode="clip")
        differs ^= forms.fixed
        differs &= forms.mask
        if differs.any():
            good[self._owners[differs != 0]] = False
        times = raw[np.maximum(stops - TIME_BYTES, 0)[:, None] + _TIME_WINDOW]
        good &= ((times & 0x80) == _GO_ON).all(axis=1)
        if not good.all():
            return None, good
        sums = raw[heads[:, None] + _SUM_WINDOW].view(np.float64)[:, 0]
        sums = np.where(forms.has_sum, sums, 0.0)
        buckets = self._buckets(raw, deltas, sizes)
        if buckets is None:
            return None, np.zeros(self.size, dtype=np.bool_)
        total, zeros = count.astype(np.float64), zero.astype(np.float64)
        told = np.bincount(self._whose, weights=buckets, minlength=self.size) + zeros
        good = (told == total) & ~np.isnan(sums)  # a stale marker is NaN, too
        if not good.all():
            return None, good
        positive = np.zeros(self.size * self._width)
        positive[self._cells] = buckets
        nothing = np.zeros((self.size, 0))
        pool = HistogramPool(
            schema=forms.schema,
            count=total,
            sum=sums,
            zero_count=zeros,
            zero_threshold=forms.threshold,
            hint=forms.hint,
            first=forms.first,
            positive=positive.reshape(self.size, self._width),
            negative_first=np.zeros(self.size, dtype=np.int32),
            negative=nothing,
            bounds=nothing,
        )
        ts_ms: Ints = (times & 0x7F).astype(np.int64) @ _TIME_WEIGHTS
        return HistogramRows(rows, ts_ms, self._none, self._none.astype(np.bool_), pool), good

    def _buckets(self, raw: Bytes, deltas: Ints, sizes: Ints) -> Floats | None:
        """Return the bucket counts; None if there are not as many as the spans say, or one is odd."""
        counted = self.forms.counts
        edges, numbers = np.cumsum(sizes), np.cumsum(counted)
        if not edges[-1]:
            return np.empty(0) if not numbers[-1] else None
        packed = raw[np.repeat(deltas - (edges - sizes), sizes) + np.arange(edges[-1])]
        stops = np.flatnonzero(packed < 0x80) + 1
        if len(stops) != numbers[-1]:
            return None
        some = counted > 0
        if (stops[numbers[some] - 1] != edges[some]).any() or sizes[~some].any():
            return None
        if len(stops) == len(packed):
            folded = packed.astype(np.uint64)
        else:
            begins = np.concatenate([[0], stops[:-1]])
            lengths = stops - begins
            longest = int(lengths.max())
            if longest > len(_WINDOW):
                return None
            folded = (packed[begins] & 0x7F).astype(np.uint64)
            for digit in range(1, longest):
                more = np.flatnonzero(lengths > digit)
                bits = (packed[begins[more] + digit] & 0x7F).astype(np.uint64)
                folded[more] |= bits << np.uint64(7 * digit)
        counts = running_sums(unzigzag(folded), counted)
        return None if int(counts.min()) < 0 else counts.astype(np.float64)


def _within(lengths: Ints) -> Ints:
    """Return 0, 1, 2... for each of some lengths."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _numbers(raw: Bytes, at: Ints) -> tuple[Ints, Ints, Bools]:
    """Return the varints at some places, the places behind, and which are no longer than eight bytes."""
    at = np.minimum(at, len(raw) - len(_WINDOW))
    short = raw[at]
    if int(short.max()) < 0x80:
        return short.astype(np.int64), at + 1, np.ones(len(at), dtype=np.bool_)
    digits = raw[at[:, None] + _WINDOW]
    ends = digits < 0x80
    size = ends.argmax(axis=1)
    weighed = (digits & 0x7F).astype(np.int64) << _DIGITS
    np.cumsum(weighed, axis=1, out=weighed)
    rows = np.arange(len(at))
    return weighed[rows, size], at + size + 1, ends[rows, size]


def _optional(raw: Bytes, at: Ints, there: Bools) -> tuple[Ints, Ints, Bools]:
    """As ``_numbers``, of messages that have such a field; 0 elsewhere."""
    if not there.any():
        return np.zeros(len(at), dtype=np.int64), at, np.ones(len(at), dtype=np.bool_)
    number, after, good = _numbers(raw, at)
    if there.all():
        return number, after, good
    return np.where(there, number, 0), np.where(there, after, at), good | ~there
