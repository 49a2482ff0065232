"""From the bytes of a WriteRequest (remote write 1.0) to columns, without looking into labels that came before.

A series is known by the bytes of its labels, and the series that came behind another one last time
is expected there again, so that a usual series costs one comparison. Values and times are gathered
with numpy afterwards.
"""

from typing import Final

import cramjam
from msgspec import Struct

from model.labels import METRIC_NAME, Labels
from storage.interface import Metadata
from storage.remote.columns import Columns, RawExemplar, RemoteWriteError
from storage.remote.histogram_templates import Templates
from storage.remote.histograms import HistogramReader, SpanForms
from storage.remote.samples import SampleReader
from storage.remote.skeleton import Skeletons
from storage.remote.wire import (
    EXEMPLAR_TAG,
    HISTOGRAM_TAG,
    LABEL_TAG,
    METADATA_TAG,
    METRIC_TYPES,
    SAMPLE_BYTES,
    SAMPLE_TAG,
    SERIES_TAG,
    TIME_OFFSET,
    TIME_TAG,
    VALUE_TAG,
    WireError,
    read_delimited,
    read_double,
    read_varint,
    signed,
    skip,
    varint,
)

MAX_BODY_BYTES: Final = 128 << 20  # unpacked
_USUAL: Final = bytes((SAMPLE_TAG, SAMPLE_BYTES - 2, VALUE_TAG))


class Series(Struct):
    """A series that has come before.

    Attributes:
        prefix: Everything of a usual time series up to its value: tags, lengths, labels.
        size: Length of a usual time series.
        row: Its number, in the order in which series came.
        raw: Its labels.
        lone: Whether it was a histogram and nothing else last time.
        following: The series that came behind it last time.
    """

    prefix: bytes
    size: int
    row: int
    raw: bytes = b""
    lone: bool = False
    following: "Series | None" = None


class _Request(Struct, frozen=True):
    """What is being gathered of one request."""

    found: Columns
    samples: SampleReader
    histograms: HistogramReader


class Decoder:
    """Knows the series of the requests before; for one thread at a time.

    Args:
        labels: Labels by the series' number; grows as series come. Others may add theirs.
        forms: What is known of histograms' spans.
    """

    def __init__(self, labels: list[Labels], forms: SpanForms) -> None:
        self._labels = labels
        self._forms = forms
        self._known: dict[bytes, Series] = {}
        self._first = Series(b"\0", 0, -1)
        self._skeletons = Skeletons()
        self._templates = Templates()

    def forget(self) -> None:
        """Begin anew; the labels are emptied by whom they belong to."""
        self._known.clear()
        self._skeletons.forget()
        self._templates.forget()
        self._first.following = None

    def decode(self, data: bytes) -> Columns:
        """Return what an unpacked request holds.

        Raises:
            RemoteWriteError: If it is not a WriteRequest; the series it began with are known then.
        """
        try:
            same = self._skeletons.read(data)
        except WireError as error:
            raise RemoteWriteError(f"the request is not a WriteRequest: {error}") from error
        if same is not None:
            return same
        histograms = HistogramReader(self._forms, self._templates)
        request = _Request(Columns(), SampleReader(), histograms)
        add_row, add_at = request.samples.rows.append, request.samples.at.append
        request.histograms.data = data
        add_histogram, add_place = request.histograms.rows.append, request.histograms.places.append
        begins = data.startswith
        position, end, last = 0, len(data), self._first
        try:
            while position < end:
                following = last.following
                if following is not None and begins(following.prefix, position):
                    last = following
                    add_row(last.row)
                    add_at(position + last.size - SAMPLE_BYTES)
                    position += last.size
                    continue
                if following is not None and following.lone:
                    place = _lone_histogram(data, position, end, following.raw)
                    if place is not None:
                        last = following
                        add_histogram(last.row)
                        add_place(place)
                        position = place[1]
                        continue
                position, last = self._read_field(data, position, last, request)
            if position != end:
                raise WireError("a series is cut off")
            if request.samples.rows:
                request.samples.gather(data, request.found)
            if request.histograms.rows:
                request.found.histograms = request.histograms.columns(request.found.faults)
            else:
                self._skeletons.remember(data, request.samples, request.found)
        except WireError as error:
            raise RemoteWriteError(f"the request is not a WriteRequest: {error}") from error
        return request.found

    def _read_field(
        self, data: bytes, at: int, last: Series, request: _Request
    ) -> tuple[int, Series]:
        tag = data[at]
        if tag == SERIES_TAG:
            start, end = read_delimited(data, at + 1, len(data))
            return end, self._read_series(data, start, end, last, request)
        if tag == METADATA_TAG:
            start, end = read_delimited(data, at + 1, len(data))
            name, known = _metadata(data, start, end)
            if name:
                request.found.metadata[name] = known
            return end, last
        tag, at = read_varint(data, at)
        return skip(data, tag, at, len(data)), last

    def _read_series(
        self, data: bytes, start: int, end: int, last: Series, request: _Request
    ) -> Series:
        at = start
        while at < end and data[at] == LABEL_TAG:
            at = read_delimited(data, at + 1, end)[1]
        raw = data[start:at]
        series = self._known.get(raw)
        if series is None:
            made = self._make(raw, request.found)
            if made is None:
                while at < end:  # what is cut off is found here too
                    tag, at = read_varint(data, at)
                    at = skip(data, tag, at, end)
                return last
            series = made
        last.following = series
        usual = end - at == SAMPLE_BYTES and data.startswith(_USUAL, at)
        if usual and data[at + TIME_OFFSET - 1] == TIME_TAG:
            request.samples.rows.append(series.row)
            request.samples.at.append(at)
            return series
        _read_points(data, at, end, series.row, request)
        lone = at < end and data[at] == HISTOGRAM_TAG
        series.lone = lone and read_delimited(data, at + 1, end)[1] == end
        return series

    def _make(self, raw: bytes, found: Columns) -> Series | None:
        """Make a series that is new; None, and noted, if its labels are wrong."""
        try:
            labels = decode_labels(raw)
        except (UnicodeDecodeError, RemoteWriteError) as error:
            found.faults.append(str(error))
            return None
        head = bytes((SERIES_TAG,)) + varint(len(raw) + SAMPLE_BYTES) + raw + _USUAL
        size = len(head) - len(_USUAL) + SAMPLE_BYTES
        made = self._known[raw] = Series(head, size, len(self._labels), raw)
        self._labels.append(labels)
        return made


def unpack(body: bytes) -> bytes:
    """Undo snappy; the length it claims is looked at first.

    Raises:
        RemoteWriteError: If it is none, or too large.
    """
    try:
        claimed, _ = read_varint(body, 0)
        if claimed > MAX_BODY_BYTES:
            raise RemoteWriteError(f"the request unpacks to {claimed} bytes; send smaller ones")
        return bytes(cramjam.snappy.decompress_raw(body))
    except (WireError, cramjam.DecompressionError) as error:
        raise RemoteWriteError(f"the body is not snappy: {error}") from error


def _lone_histogram(data: bytes, at: int, end: int, raw: bytes) -> tuple[int, int] | None:
    """Return where the histogram of the series at a place begins and ends.

    None if the series has other labels than ``raw``, or anything else behind them.
    """
    if at + len(raw) + 8 > end or data[at] != SERIES_TAG:
        return None
    at, stop = _short_field(data, at)
    if stop > end or not data.startswith(raw, at):
        return None
    at += len(raw)
    if data[at] != HISTOGRAM_TAG:
        return None
    at, last = _short_field(data, at)
    return (at, stop) if last == stop else None


def _short_field(data: bytes, at: int) -> tuple[int, int]:
    """Return where the contents of a field begin and end; one of 16 KiB or more ends beyond everything."""
    size = data[at + 1]
    if size < 0x80:  # a varint of one byte
        return at + 2, at + 2 + size
    high = data[at + 2]
    return at + 3, at + 3 + (size & 0x7F | high << 7) if high < 0x80 else len(data) + 1


def _read_points(data: bytes, at: int, end: int, row: int, request: _Request) -> None:
    """Take what stands behind the labels of a series: samples, histograms, exemplars."""
    while at < end:
        tag, at = read_varint(data, at)
        if tag in (SAMPLE_TAG, HISTOGRAM_TAG, EXEMPLAR_TAG):
            start, at = read_delimited(data, at, end)
            if tag == SAMPLE_TAG:
                request.samples.read(data, start, at, row)
            elif tag == HISTOGRAM_TAG:
                request.histograms.read(data, start, at, row)
            else:
                _read_exemplar(data, start, at, row, request.found)
        else:
            at = skip(data, tag, at, end)


def _read_exemplar(data: bytes, at: int, end: int, row: int, found: Columns) -> None:
    pairs, value, ts_ms = [], 0.0, 0
    while at < end:
        tag, at = read_varint(data, at)
        if tag == 0x0A:
            start, at = read_delimited(data, at, end)
            pairs.append(read_pair(data, start, at))
        elif tag == 0x11:
            value, at = read_double(data, at, end)
        elif tag == 0x18:
            number, at = read_varint(data, at)
            ts_ms = signed(number)
        else:
            at = skip(data, tag, at, end)
    found.exemplars.append(RawExemplar(row, tuple(pairs), value, ts_ms))


def read_pair(data: bytes, at: int, end: int) -> tuple[str, str]:
    """Read a Label; what is not UTF-8 is replaced."""
    texts = {0x0A: "", 0x12: ""}
    while at < end:
        tag, at = read_varint(data, at)
        if tag in texts:
            start, at = read_delimited(data, at, end)
            texts[tag] = data[start:at].decode("utf-8", "replace")
        else:
            at = skip(data, tag, at, end)
    return texts[0x0A], texts[0x12]


def decode_labels(raw: bytes) -> Labels:
    """Return the labels of a series.

    Raises:
        RemoteWriteError: If there is no name, or a label stands twice or has no name.
        UnicodeDecodeError: If a text is not UTF-8.
    """
    pairs = []
    at = 0
    while at < len(raw):
        at, end = read_delimited(raw, at + 1, len(raw))
        texts = {0x0A: "", 0x12: ""}
        while at < end:
            tag, at = read_varint(raw, at)
            if tag in texts:
                start, at = read_delimited(raw, at, end)
                texts[tag] = raw[start:at].decode()
            else:
                at = skip(raw, tag, at, end)
        pairs.append((texts[0x0A], texts[0x12]))
    return checked_labels(pairs)


def checked_labels(pairs: list[tuple[str, str]]) -> Labels:
    """Return labels from what was sent.

    Raises:
        RemoteWriteError: If there is no name, or a label stands twice or has no name.
    """
    labels = Labels.of(pairs)
    names = {name for name, _ in pairs}
    if "" in names or len(names) < len(pairs):
        raise RemoteWriteError(f"a label has no name or stands twice in {dict(pairs)}")
    if not labels.get(METRIC_NAME):
        raise RemoteWriteError(f"there is no metric name in {dict(pairs)}")
    return labels


def _metadata(data: bytes, at: int, end: int) -> tuple[str, Metadata]:
    kind, texts = 0, {0x12: "", 0x22: "", 0x2A: ""}
    while at < end:
        tag, at = read_varint(data, at)
        if tag == 0x08:
            kind, at = read_varint(data, at)
        elif tag in texts:
            start, at = read_delimited(data, at, end)
            texts[tag] = data[start:at].decode("utf-8", "replace")
        else:
            at = skip(data, tag, at, end)
    known = METRIC_TYPES[kind] if kind < len(METRIC_TYPES) else METRIC_TYPES[0]
    return texts[0x12], Metadata(known, texts[0x22], texts[0x2A])
