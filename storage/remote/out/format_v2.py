"""Requests of remote write 2.0: texts are sent once per request, and series refer to them.

Texts get numbers of our own as series come. A request's floats are laid out as columns: which texts
it needs, the length of each field, and where each byte goes are found for all series at once.
"""

from collections.abc import Sequence
from typing import Final, cast

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from model.labels import Labels
from model.samples import Exemplar, Floats, Ints, is_no_sample
from storage.interface import Metadata
from storage.remote.encode import encode_measurement
from storage.remote.encode_histograms import encode_histogram
from storage.remote.encode_v2 import sample_v2
from storage.remote.out.columns_v2 import FloatColumns, Numbers, write_floats
from storage.remote.out.format import Counts, Exemplars
from storage.remote.wire import METRIC_TYPES, USUAL_TIME, delimited, varint
from storage.tsdb.samples import Samples

_MAX_TEXTS: Final = 500_000
_ABOUT: Final = 3  # behind a series' labels: type, help and unit
_SAMPLE, _HISTOGRAM, _EXEMPLAR, _METADATA = 0x12, 0x1A, 0x22, 0x2A


class _Texts(Struct, eq=False):
    """Numbers of texts; the empty one has 0."""

    numbers: dict[str, int] = field(default_factory=dict)
    symbols: list[bytes] = field(default_factory=list)

    def number(self, text: str) -> int:
        found = self.numbers.get(text)
        if found is None:
            found = self.numbers[text] = len(self.symbols)
            raw = text.encode("utf-8", "replace")
            self.symbols.append(b"\x22" + varint(len(raw)) + raw)
        return found


class _Other(Struct, frozen=True):
    """A series that is not one float of the usual form.

    Attributes:
        series: Its texts' numbers, and what is known of its family.
        points: Its samples or histograms, encoded.
        exemplars: Numbers of an exemplar's texts, and what stands behind them.
    """

    series: tuple[int, ...]
    points: bytes
    exemplars: tuple[tuple[tuple[int, ...], bytes], ...] = ()


class _Content(Struct, frozen=True):
    """A piece: floats in columns, others behind them, and whose numbers the texts have."""

    texts: _Texts
    floats: FloatColumns | None
    others: tuple[_Other, ...] = ()


class _Layout:
    """See ``SentLayout``."""

    def __init__(self, texts: _Texts, series: Sequence[bytes]) -> None:
        self._texts = texts
        self._series = list(series)
        self._columns = _columns(series)

    def encode(self, ts_ms: int, values: Floats) -> tuple[object, int]:
        """Return the content of a piece, and how many samples it has."""
        rows = np.flatnonzero(~is_no_sample(values))
        times = np.full(len(rows), ts_ms, dtype=np.int64)
        numbers = self._columns if len(rows) == len(values) else self._columns.take(rows)
        held = values[rows] if len(rows) < len(values) else np.array(values)
        if ts_ms in USUAL_TIME:
            floats = FloatColumns(numbers, times, held, np.zeros(len(rows), dtype=np.int64))
            return _Content(self._texts, floats), len(rows)
        others = tuple(
            _Other(_of(self._series[row]), _float(held, n, ts_ms, 0))
            for n, row in enumerate(rows.tolist())
        )
        return _Content(self._texts, None, others), len(rows)


class FormatV2:
    """See ``Format``."""

    version = 2

    def __init__(self) -> None:
        self._texts = _fresh()

    def series(self, labels: Labels, about: Metadata | None) -> bytes:
        """Return the numbers of its texts and of what is known of it."""
        number = self._texts.number
        refs = [number(text) for pair in labels for text in pair]
        if about is None:
            refs += [0, 0, 0]
        else:
            kind = METRIC_TYPES.index(about.type) if about.type in METRIC_TYPES else 0
            refs += [kind, number(about.help), number(about.unit)]
        return np.array(refs, dtype=np.int64).tobytes()

    def layout(self, series: Sequence[bytes]) -> _Layout:
        """Return what encodes a scrape."""
        return _Layout(self._texts, series)

    def samples(
        self, series: Sequence[bytes], samples: Samples, exemplars: Exemplars
    ) -> tuple[object, Counts]:
        """Encode samples: those with exemplars, histograms and odd times one by one, the others as columns."""
        starts = samples.start_ms
        if starts is None:
            starts = np.zeros(samples.size, dtype=np.int64)
        floats = ~is_no_sample(samples.values)
        usual = floats & _usual(samples.ts_ms) & ((starts == 0) | _usual(starts))
        usual[list(exemplars)] = False
        others = [
            _Other(
                _of(series[n]),
                _float(samples.values, n, int(samples.ts_ms[n]), int(starts[n])),
                self._exemplars(exemplars.get(n, ())),
            )
            for n in np.flatnonzero(floats & ~usual).tolist()
        ]
        column = None if samples.histograms is None else samples.histograms.gathered()
        histograms = 0
        if column is not None:
            for n in np.flatnonzero(column.index >= 0).tolist():
                times = int(samples.ts_ms[n]), int(starts[n])
                data = delimited(
                    _HISTOGRAM, encode_histogram(column.pool, int(column.index[n]), *times)
                )
                others.append(_Other(_of(series[n]), data, self._exemplars(exemplars.get(n, ()))))
                histograms += 1
        rows = np.flatnonzero(usual)
        made = None
        if len(rows):
            numbers = _columns([series[n] for n in rows.tolist()])
            made = FloatColumns(numbers, samples.ts_ms[rows], samples.values[rows], starts[rows])
        counts = Counts(int(floats.sum()), histograms, sum(map(len, exemplars.values())))
        return _Content(self._texts, made, tuple(others)), counts

    def exemplars(
        self, series: Sequence[bytes], exemplars: Sequence[Exemplar]
    ) -> tuple[object, Counts]:
        """Give nothing: an exemplar must stand with a sample."""
        return _Content(self._texts, None), Counts()

    def join(self, contents: Sequence[object]) -> bytes:
        """Return a Request."""
        parts = cast("Sequence[_Content]", contents)
        tables = list(dict.fromkeys(part.texts for part in parts))
        bases, size = {}, 0
        for table in tables:
            bases[table] = size
            size += len(table.symbols)
        floats = [
            part.floats.raised(bases[part.texts]) for part in parts if part.floats is not None
        ]
        others = [(one, bases[part.texts]) for part in parts for one in part.others]
        used = np.zeros(size, dtype=np.bool_)
        used[0] = True
        for columns in floats:
            used[columns.numbers.refs] = True
            used[columns.numbers.about[:, 1:]] = True
        for one, base in others:
            used[[base + n for n in _every(one)]] = True
        places = np.flatnonzero(used)
        local = np.zeros(size, dtype=np.int64)
        local[places] = np.arange(len(places))
        pieces = _symbols(tables, places)
        if floats:
            pieces.append(write_floats(FloatColumns.concat(floats), local))
        pieces += [_encode_other(one, local[base:]) for one, base in others]
        return b"".join(pieces)

    def forget(self) -> bool:
        """Take a new table of texts once there are many; pieces that wait have the old one."""
        if len(self._texts.symbols) < _MAX_TEXTS:
            return False
        self._texts = _fresh()
        return True

    def _exemplars(
        self, exemplars: Sequence[Exemplar]
    ) -> tuple[tuple[tuple[int, ...], bytes], ...]:
        number = self._texts.number
        return tuple(
            (
                tuple(number(text) for pair in one.labels for text in pair),
                encode_measurement(one),
            )
            for one in exemplars
        )


def _fresh() -> _Texts:
    texts = _Texts()
    texts.number("")
    return texts


def _of(series: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(series, dtype=np.int64).tolist())


def _columns(series: Sequence[bytes]) -> Numbers:
    """Lay the numbers of some series out."""
    sizes = np.array([len(one) for one in series], dtype=np.int64) // 8
    every = np.frombuffer(b"".join(series), dtype=np.int64)
    ends = np.cumsum(sizes)
    is_ref = np.ones(len(every), dtype=np.bool_)
    about_at = ends[:, None] - np.arange(_ABOUT, 0, -1)
    is_ref[about_at] = False
    return Numbers(every[is_ref], sizes - _ABOUT, every[about_at])


def _usual(times: Ints) -> npt.NDArray[np.bool_]:
    return (times >= USUAL_TIME.start) & (times < USUAL_TIME.stop)


def _float(values: Floats, n: int, ts_ms: int, start_ms: int) -> bytes:
    return delimited(_SAMPLE, sample_v2(values[n : n + 1].tobytes(), ts_ms, start_ms))


def _every(one: _Other) -> list[int]:
    """Return the numbers of all texts that a series needs."""
    every = [*one.series[:-_ABOUT], *one.series[1 - _ABOUT :]]
    return every + [n for numbers, _ in one.exemplars for n in numbers]


def _symbols(tables: Sequence[_Texts], places: Ints) -> list[bytes]:
    if len(tables) == 1:
        held = tables[0].symbols
        return [held[n] for n in places.tolist()]
    held = [symbol for table in tables for symbol in table.symbols]
    return [held[n] for n in places.tolist()]


def _encode_other(one: _Other, local: Ints) -> bytes:
    def refs(numbers: tuple[int, ...]) -> bytes:
        return delimited(0x0A, b"".join(varint(int(local[n])) for n in numbers))

    kind, help_, unit = one.series[-_ABOUT:]
    body = refs(one.series[:-_ABOUT]) + one.points
    for numbers, rest in one.exemplars:
        body += delimited(_EXEMPLAR, refs(numbers) + rest)
    if kind or help_ or unit:
        about = (
            b"\x08" + varint(kind) + b"\x18" + varint(int(local[help_]))
            + b"\x20" + varint(int(local[unit]))
        )  # fmt: skip
        body += delimited(_METADATA, about)
    return delimited(0x2A, body)
