"""From the bytes of a WriteRequest to columns, without looking into labels that came before.

A series is known by the bytes of its labels, and the series that came behind another one last time
is expected there again, so that a usual series costs one comparison. Values and times are gathered
with numpy afterwards.
"""

from dataclasses import dataclass, field
from typing import Final

import cramjam
import numpy as np

from model.errors import StorageError
from model.labels import METRIC_NAME, Labels
from model.samples import Floats, Ints
from storage.interface import Metadata
from storage.remote.wire import (
    HISTOGRAM_TAG,
    LABEL_TAG,
    METADATA_TAG,
    METRIC_TYPES,
    SAMPLE_BYTES,
    SAMPLE_TAG,
    SERIES_TAG,
    TIME_OFFSET,
    TIME_TAG,
    VALUE_OFFSET,
    VALUE_TAG,
    WireError,
    read_delimited,
    read_varint,
    signed,
    skip,
    varint,
)

MAX_BODY_BYTES: Final = 128 << 20  # unpacked
_USUAL: Final = bytes((SAMPLE_TAG, SAMPLE_BYTES - 2, VALUE_TAG))
_SEVENS: Final = np.arange(0, 42, 7, dtype=np.int64)


class RemoteWriteError(StorageError, ValueError):
    """A request that will never be right; answer it with 400, so that the sender does not try again."""


@dataclass(slots=True)
class Series:
    """A series that has come before.

    Attributes:
        prefix: Everything of a usual time series up to its value: tags, lengths, labels.
        size: Length of a usual time series.
        row: Its number, in the order in which series came.
        following: The series that came behind it last time.
    """

    prefix: bytes
    size: int
    row: int
    following: "Series | None" = None


@dataclass(slots=True)
class Columns:
    """What one request holds.

    Attributes:
        rows: Number of the series of each sample.
        ts_ms: int64, shape (samples,).
        values: float64, shape (samples,); bits as they came.
        metadata: By metric family.
        bad_series: Series whose labels are wrong; they have no samples here.
        first_bad: What is wrong with the first of them.
        histograms: Native histograms, which are left out.
        at: Where each sample stands in the request; -1 for one of another form than the usual.
        others: Value's bytes and time of the latter.
    """

    rows: list[int] = field(default_factory=list)
    ts_ms: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    values: Floats = field(default_factory=lambda: np.empty(0, dtype=np.float64))
    metadata: dict[str, Metadata] = field(default_factory=dict)
    bad_series: int = 0
    first_bad: str = ""
    histograms: int = 0
    at: list[int] = field(default_factory=list)
    others: list[tuple[bytes, int]] = field(default_factory=list)


class Decoder:
    """Knows the series of the requests before; for one thread at a time.

    Attributes:
        labels: Labels by the series' number; grows as series come.
    """

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self._known: dict[bytes, Series] = {}
        self._first = Series(b"\0", 0, -1)

    def forget(self) -> None:
        """Begin anew with series number 0."""
        self.labels = []
        self._known.clear()
        self._first.following = None

    def decode(self, data: bytes) -> Columns:
        """Return what an unpacked request holds.

        Raises:
            RemoteWriteError: If it is not a WriteRequest; the series it began with are known then.
        """
        found = Columns()
        add_row, add_at, begins = found.rows.append, found.at.append, data.startswith
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
                position, last = self._read_field(data, position, last, found)
            if position != end:
                raise WireError("a series is cut off")
            _gather(data, found)
        except WireError as error:
            raise RemoteWriteError(f"the request is not a WriteRequest: {error}") from error
        return found

    def _read_field(self, data: bytes, at: int, last: Series, found: Columns) -> tuple[int, Series]:
        tag = data[at]
        if tag == SERIES_TAG:
            start, end = read_delimited(data, at + 1, len(data))
            return end, self._read_series(data, start, end, last, found)
        if tag == METADATA_TAG:
            start, end = read_delimited(data, at + 1, len(data))
            name, known = _metadata(data, start, end)
            if name:
                found.metadata[name] = known
            return end, last
        tag, at = read_varint(data, at)
        return skip(data, tag, at, len(data)), last

    def _read_series(
        self, data: bytes, start: int, end: int, last: Series, found: Columns
    ) -> Series:
        at = start
        while at < end and data[at] == LABEL_TAG:
            at = read_delimited(data, at + 1, end)[1]
        raw = data[start:at]
        series = self._known.get(raw)
        if series is None:
            made = self._make(raw, found)
            if made is None:
                _samples(data, at, end)  # what is cut off is found here too
                return last
            series = made
        last.following = series
        usual = end - at == SAMPLE_BYTES and data.startswith(_USUAL, at)
        if usual and data[at + TIME_OFFSET - 1] == TIME_TAG:
            found.rows.append(series.row)
            found.at.append(at)
            return series
        samples, histograms = _samples(data, at, end)
        found.histograms += histograms
        for sample in samples:
            found.rows.append(series.row)
            found.at.append(-1)
            found.others.append(sample)
        return series

    def _make(self, raw: bytes, found: Columns) -> Series | None:
        """Make a series that is new; None, and counted, if its labels are wrong."""
        try:
            labels = decode_labels(raw)
        except (UnicodeDecodeError, RemoteWriteError) as error:
            found.bad_series += 1
            found.first_bad = found.first_bad or str(error)
            return None
        head = bytes((SERIES_TAG,)) + varint(len(raw) + SAMPLE_BYTES) + raw + _USUAL
        size = len(head) - len(_USUAL) + SAMPLE_BYTES
        made = self._known[raw] = Series(head, size, len(self.labels))
        self.labels.append(labels)
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


def _gather(data: bytes, found: Columns) -> None:
    """Read times and values where they were found."""
    at = np.array(found.at, dtype=np.int64)
    found.ts_ms = np.empty(len(at), dtype=np.int64)
    found.values = np.empty(len(at), dtype=np.float64)
    usual = at >= 0
    raw = np.frombuffer(data, dtype=np.uint8)
    places = at[usual]
    values = raw[places[:, None] + (VALUE_OFFSET + np.arange(8))]
    digits = raw[places[:, None] + (TIME_OFFSET + np.arange(6))].astype(np.int64)
    tags = raw[places + (TIME_OFFSET - 1)]
    if (tags != TIME_TAG).any() or (digits[:, :5] < 0x80).any() or (digits[:, 5] >= 0x80).any():
        raise WireError("a sample has no time")
    found.values[usual] = values.view(np.float64)[:, 0]
    found.ts_ms[usual] = ((digits & 0x7F) << _SEVENS).sum(axis=1)
    if found.others:
        bits, times = zip(*found.others, strict=True)
        found.ts_ms[~usual] = times
        found.values[~usual] = np.frombuffer(b"".join(bits), dtype=np.float64)


def _samples(data: bytes, at: int, end: int) -> tuple[list[tuple[bytes, int]], int]:
    """Return the samples behind the labels, as the value's bytes and the time, and the number of histograms."""
    samples = []
    histograms = 0
    while at < end:
        tag, at = read_varint(data, at)
        if tag == SAMPLE_TAG:
            start, at = read_delimited(data, at, end)
            samples.append(_sample(data, start, at))
        else:
            histograms += tag == HISTOGRAM_TAG
            at = skip(data, tag, at, end)
    return samples, histograms


def _sample(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Read one sample; writers may leave out a value of 0.0 and a time of 0."""
    value, ts_ms = bytes(8), 0
    while at < end:
        tag, at = read_varint(data, at)
        if tag == VALUE_TAG and at + 8 <= end:
            value, at = data[at : at + 8], at + 8
        elif tag == TIME_TAG:
            number, at = read_varint(data, at)
            ts_ms = signed(number)
        else:
            at = skip(data, tag, at, end)
    if at > end:
        raise WireError("a sample is longer than its field")
    return value, ts_ms


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
