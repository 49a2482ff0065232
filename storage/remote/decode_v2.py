"""From the bytes of a Request (remote write 2.0) to columns.

Labels are references into a table of texts that each request brings. The texts get numbers of our
own, all references are decoded at once, and a series is known by its labels' numbers.
The messages: io/prometheus/write/v2/types.proto of prometheus/prompb.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from msgspec import Struct, field

from model.labels import METRIC_NAME, Labels
from storage.interface import Metadata
from storage.remote.columns import Columns, RawExemplar, RemoteWriteError
from storage.remote.decode import checked_labels
from storage.remote.histograms import HistogramReader, SpanForms
from storage.remote.packed import read_packed
from storage.remote.samples import SampleReader
from storage.remote.wire import (
    METRIC_TYPES,
    SAMPLE_BYTES,
    START_TAG,
    STARTED_BYTES,
    TIME_OFFSET,
    TIME_TAG,
    WireError,
    read_delimited,
    read_double,
    read_varint,
    signed,
    skip,
)

_SYMBOL: Final = 0x22  # Request.symbols
_SERIES: Final = 0x2A  # Request.timeseries
_REFS, _REF = 0x0A, 0x08  # TimeSeries.labels_refs, packed and not
_SAMPLE: Final = 0x12
_HISTOGRAM: Final = 0x1A
_EXEMPLAR: Final = 0x22
_METADATA: Final = 0x2A
_FULL: Final = bytes((0x12, SAMPLE_BYTES - 2, 0x09))
_STARTED: Final = bytes((0x12, STARTED_BYTES - 2, 0x09))
# series of a family whose names are longer than the family's
_SUFFIXES: Final = {
    "histogram": ("_bucket", "_count", "_sum"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
    "summary": ("_count", "_sum"),
}


class _Request(Struct):
    """What is being gathered of one request; series are numbered as they come in it."""

    symbols: list[bytes] = field(default_factory=list)
    refs: list[bytes] = field(default_factory=list)
    samples: SampleReader = field(default_factory=SampleReader)
    exemplars: list[tuple[int, int, int]] = field(default_factory=list)
    metadata: dict[bytes, list[int]] = field(default_factory=dict)
    empty: list[int] = field(default_factory=list)


class DecoderV2:
    """Knows the texts and series of the requests before; for one thread at a time.

    Args:
        labels: Labels by the series' number; grows as series come. Others may add theirs.
        forms: What is known of histograms' spans.
    """

    def __init__(self, labels: list[Labels], forms: SpanForms) -> None:
        self._labels = labels
        self._forms = forms
        self.forget()

    def forget(self) -> None:
        """Begin anew; the labels are emptied by whom they belong to."""
        self._texts: list[str | None] = []
        self._numbers: dict[bytes, int] = {}
        self._known: dict[bytes, int] = {}

    @property
    def size(self) -> int:
        """Number of texts that are known."""
        return len(self._texts)

    def decode(self, data: bytes) -> Columns:
        """Return what an unpacked request holds.

        Raises:
            RemoteWriteError: If it is not a Request.
        """
        request, found, at = _Request(), Columns(), 0
        histograms = HistogramReader(self._forms)
        try:
            size, add_symbol = len(data), request.symbols.append
            while at < size:
                tag = data[at]
                if tag in (_SERIES, _SYMBOL):
                    if at + 1 < size and data[at + 1] < 0x80:  # most are short
                        start = at + 2
                        at = start + data[at + 1]
                        if at > size:
                            raise WireError("a series is cut off")
                    else:
                        start, at = read_delimited(data, at + 1, size)
                    if tag == _SERIES:
                        _read_series(data, start, at, request, histograms)
                    else:
                        add_symbol(data[start:at])
                else:
                    tag, at = read_varint(data, at)
                    at = skip(data, tag, at, size)
            if request.symbols[:1] not in ([], [b""]):
                raise WireError("the first symbol is not the empty text")
            texts = self._number(request.symbols)
            rows = self._rows(request, texts, found)
            request.samples.gather(data, found)
            found.histograms = histograms.columns(found.faults)
            self._finish(data, request, rows, texts, found)
        except WireError as error:
            raise RemoteWriteError(f"the request is not a Request of 2.0: {error}") from error
        return found

    def _number(self, symbols: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return our own number of each text."""
        numbers = self._numbers
        out = []
        for symbol in symbols:
            number = numbers.get(symbol)
            if number is None:
                number = numbers[symbol] = len(self._texts)
                try:
                    self._texts.append(symbol.decode())
                except UnicodeDecodeError:
                    self._texts.append(None)
            out.append(number)
        return np.array(out, dtype=np.int64)

    def _rows(self, request: _Request, texts: np.ndarray, found: Columns) -> np.ndarray:
        """Return the number of each series of the request, -1 where its labels are wrong."""
        refs, counts = read_packed(request.refs)
        places = refs.astype(np.int64)
        beyond = (places < 0) | (places >= len(texts))
        ours = np.full(len(places), -1, dtype=np.int64)
        ours[~beyond] = texts[places[~beyond]]
        raw, width = ours.tobytes(), ours.itemsize
        edges = (np.concatenate([[0], np.cumsum(counts)]) * width).tolist()
        known, rows = self._known, []
        for start, stop in pairwise(edges):
            key = raw[start:stop]
            row = known.get(key)
            if row is None:
                row = self._make(key, found)
                if row >= 0:
                    known[key] = row
            rows.append(row)
        return np.array(rows, dtype=np.int64)

    def _make(self, key: bytes, found: Columns) -> int:
        """Return the number of a series that is new; -1, and noted, if its labels are wrong."""
        try:
            labels = checked_labels(self._pairs(np.frombuffer(key, dtype=np.int64).tolist()))
        except RemoteWriteError as error:
            found.faults.append(str(error))
            return -1
        self._labels.append(labels)
        return len(self._labels) - 1

    def _pairs(self, numbers: list[int]) -> list[tuple[str, str]]:
        if len(numbers) % 2:
            raise RemoteWriteError(f"invalid labelRefs length {len(numbers)}")
        texts = [self._texts[n] if n >= 0 else None for n in numbers]
        good = [text for text in texts if text is not None]
        if len(good) < len(texts):
            raise RemoteWriteError("a label's reference is beyond the symbols, or not UTF-8")
        return list(zip(good[::2], good[1::2], strict=True))

    def _finish(
        self, data: bytes, request: _Request, rows: np.ndarray, texts: np.ndarray, found: Columns
    ) -> None:
        """Put the series' numbers in, and leave out what belongs to wrong ones."""
        found.faults.extend(
            f"there is no sample, histogram or exemplar for series {dict(self._labels[rows[n]])}"
            for n in request.empty
            if rows[n] >= 0
        )
        rows_of = rows[found.rows] if len(found.rows) else found.rows
        good = rows_of >= 0
        found.rows, found.ts_ms, found.values = rows_of[good], found.ts_ms[good], found.values[good]
        if found.start_ms is not None:
            found.start_ms = found.start_ms[good]
        if found.histograms is not None:
            found.histograms = found.histograms.of_series(rows)
        for n, start, stop in request.exemplars:
            if rows[n] >= 0:
                self._read_exemplar(data, start, stop, int(rows[n]), texts, found)
        for raw, series in request.metadata.items():
            known = self._metadata(raw, texts)
            for n in series:
                if rows[n] >= 0:
                    found.metadata[_family(self._labels[rows[n]], str(known.type))] = known

    def _read_exemplar(
        self, data: bytes, at: int, end: int, row: int, texts: np.ndarray, found: Columns
    ) -> None:
        refs, value, ts_ms = b"", 0.0, 0
        while at < end:
            tag, at = read_varint(data, at)
            if tag == _REFS:
                start, at = read_delimited(data, at, end)
                refs += data[start:at]
            elif tag == 0x11:
                value, at = read_double(data, at, end)
            elif tag == 0x18:
                number, at = read_varint(data, at)
                ts_ms = signed(number)
            else:
                start, at = at, skip(data, tag, at, end)
                refs += data[start:at] if tag == _REF else b""
        numbers = read_packed([refs])[0].tolist()
        try:
            pairs = self._pairs([int(texts[n]) if n < len(texts) else -1 for n in numbers])
        except RemoteWriteError as error:
            found.faults.append(f"parsing exemplar for series {dict(self._labels[row])}: {error}")
            return
        found.exemplars.append(RawExemplar(row, tuple(pairs), value, ts_ms))

    def _metadata(self, raw: bytes, texts: np.ndarray) -> Metadata:
        kind, refs, at = 0, {0x18: 0, 0x20: 0}, 0
        while at < len(raw):
            tag, at = read_varint(raw, at)
            if tag == 0x08:
                kind, at = read_varint(raw, at)
            elif tag in refs:
                refs[tag], at = read_varint(raw, at)
            else:
                at = skip(raw, tag, at, len(raw))
        help_, unit = (
            (self._texts[texts[n]] or "") if n < len(texts) else "" for n in refs.values()
        )
        return Metadata(METRIC_TYPES[kind if kind < len(METRIC_TYPES) else 0], help_, unit)


def _read_series(
    data: bytes, at: int, end: int, request: _Request, histograms: HistogramReader
) -> None:
    """Take one TimeSeries."""
    number, refs, some = len(request.refs), b"", False
    samples = request.samples
    if end - at > 2 and data[at] == _REFS and data[at + 1] < 0x80:  # refs come first, and few
        start = at + 2
        at = start + data[at + 1]
        refs = data[start:at]
    while at < end:
        if size := _usual(data, at, end):
            if size == STARTED_BYTES:
                samples.started.append(len(samples.rows))
            samples.rows.append(number)
            samples.at.append(at)
            at += size
            some = True
            continue
        tag, at = read_varint(data, at)
        if tag == _REFS:
            start, at = read_delimited(data, at, end)
            refs += data[start:at]
        elif tag == _SAMPLE:
            start, at = read_delimited(data, at, end)
            samples.read(data, start, at, number)
            some = True
        elif tag == _HISTOGRAM:
            start, at = read_delimited(data, at, end)
            histograms.read(data, start, at, number)
            some = True
        elif tag == _EXEMPLAR:
            start, at = read_delimited(data, at, end)
            request.exemplars.append((number, start, at))
            some = True
        elif tag == _METADATA:
            start, at = read_delimited(data, at, end)
            if start < at:
                request.metadata.setdefault(data[start:at], []).append(number)
        else:
            start, at = at, skip(data, tag, at, end)
            refs += data[start:at] if tag == _REF else b""
    if not some:
        request.empty.append(number)
    if at > end:
        raise WireError("a series is cut off")
    request.refs.append(refs)


def _usual(data: bytes, at: int, end: int) -> int:
    """Return the size of a sample of one of the usual forms, 0 for another field or form."""
    if data.startswith(_FULL, at):
        size = SAMPLE_BYTES
    elif data.startswith(_STARTED, at):
        size = STARTED_BYTES
    else:
        return 0
    if at + size > end or data[at + TIME_OFFSET - 1] != TIME_TAG:
        return 0
    last = at + SAMPLE_BYTES - 1  # of the time's six bytes
    if data[last] >= 0x80 or min(data[at + TIME_OFFSET : last]) < 0x80:
        return 0
    return size if size == SAMPLE_BYTES or data[last + 1] == START_TAG else 0


def _family(labels: Labels, kind: str) -> str:
    """Return the name of the metric family that a series belongs to."""
    name = labels.get(METRIC_NAME)
    suffix = next((s for s in _SUFFIXES.get(kind, ()) if name.endswith(s)), "")
    return name.removesuffix(suffix)
