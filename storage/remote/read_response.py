"""From the bytes of a ReadResponse (remote read) to groups of columns."""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.histogram.pool import HistogramColumn
from model.labels import Labels, LabelTable
from model.samples import Floats, Ints, is_stale, no_samples, stale_markers
from storage.interface import Group, SeriesSet
from storage.remote.columns import Columns, HistogramRows
from storage.remote.decode import read_pair
from storage.remote.histograms import HistogramReader, SpanForms
from storage.remote.samples import SampleReader
from storage.remote.wire import (
    HISTOGRAM_TAG,
    LABEL_TAG,
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
    skip,
)

_RESULT_TAG: Final = 0x0A
_HEAD: Final = np.array([SAMPLE_TAG, SAMPLE_BYTES - 2, VALUE_TAG], dtype=np.uint8)
_SEVENS: Final = np.arange(0, 42, 7, dtype=np.int64)


class _Series(Struct):
    labels: Labels
    ts_ms: Ints
    values: Floats


def decode_response(data: bytes) -> SeriesSet:
    """Return the series of all results.

    Raises:
        WireError: If it is no ReadResponse.
        UnicodeDecodeError: If a label is not UTF-8.
    """
    found: list[_Series] = []
    histograms = HistogramReader(SpanForms())
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag != _RESULT_TAG:
            at = skip(data, tag, at, len(data))
            continue
        at, end = read_delimited(data, at, len(data))
        while at < end:
            tag, at = read_varint(data, at)
            if tag == SERIES_TAG:
                start, at = read_delimited(data, at, end)
                found.append(_series(data, start, at, len(found), histograms))
            else:
                at = skip(data, tag, at, end)
    return _grouped(found, histograms.columns([]))


def _series(data: bytes, at: int, end: int, row: int, histograms: HistogramReader) -> _Series:
    pairs = []
    while at < end and data[at] == LABEL_TAG:
        start, at = read_delimited(data, at + 1, end)
        pairs.append(read_pair(data, start, at))
    labels = Labels.of(pairs)
    quick = _usual(data, at, end)
    if quick is not None:
        return _Series(labels, *quick)
    samples = SampleReader()
    while at < end:
        tag, at = read_varint(data, at)
        if tag == SAMPLE_TAG:
            start, at = read_delimited(data, at, end)
            samples.read(data, start, at, row)
        elif tag == HISTOGRAM_TAG:
            start, at = read_delimited(data, at, end)
            histograms.read(data, start, at, row)
        else:
            at = skip(data, tag, at, end)
    read = Columns()
    samples.gather(data, read)
    return _Series(labels, read.ts_ms, read.values)


def _usual(data: bytes, at: int, end: int) -> tuple[Ints, Floats] | None:
    """Read samples that all have the usual form at once; None if they do not."""
    if at == end or (end - at) % SAMPLE_BYTES:
        return None
    raw = np.frombuffer(data, dtype=np.uint8, count=end - at, offset=at).reshape(-1, SAMPLE_BYTES)
    digits = raw[:, TIME_OFFSET:].astype(np.int64)
    usual = (raw[:, :VALUE_OFFSET] == _HEAD).all() and (raw[:, TIME_OFFSET - 1] == TIME_TAG).all()
    if not usual or (digits[:, :5] < 0x80).any() or (digits[:, 5] >= 0x80).any():
        return None
    values = np.ascontiguousarray(raw[:, VALUE_OFFSET : VALUE_OFFSET + 8]).view(np.float64)
    return ((digits & 0x7F) << _SEVENS).sum(axis=1), values[:, 0]


def _grouped(found: list[_Series], histograms: HistogramRows | None) -> SeriesSet:
    """Put series with the same timestamps into one group."""
    members: dict[bytes, list[int]] = {}
    mixed = np.zeros(len(found), dtype=np.bool_)
    if histograms is not None:
        mixed[histograms.rows] = True
    for row, one in enumerate(found):
        if not mixed[row]:
            members.setdefault(one.ts_ms.tobytes(), []).append(row)
    groups = [
        _floats(rows, found[rows[0]].ts_ms, np.stack([found[row].values for row in rows]))
        for rows in members.values()
        if len(found[rows[0]].ts_ms)
    ]
    if histograms is not None:
        groups += [_mixed(row, found[row], histograms) for row in np.flatnonzero(mixed).tolist()]
    empty = {row for row, one in enumerate(found) if not len(one.ts_ms) and not mixed[row]}
    if empty:
        raise WireError("a series has no samples")
    return SeriesSet(LabelTable.from_labels([one.labels for one in found]), tuple(groups))


def _floats(rows: list[int], ts_ms: Ints, values: Floats) -> Group:
    return Group(
        rows=np.array(rows, dtype=np.int32),
        ts_ms=ts_ms[None, :],
        ts_row=np.zeros(len(rows), dtype=np.int32),
        values=values,
        dense=not is_stale(values).any(),
    )


def _mixed(row: int, one: _Series, histograms: HistogramRows) -> Group:
    """Merge a series' floats and histograms in time order."""
    mine = np.flatnonzero(histograms.rows == row)
    ts_ms = np.concatenate([one.ts_ms, histograms.ts_ms[mine]])
    index = np.concatenate(
        [np.full(len(one.ts_ms), -1), np.where(histograms.stale[mine], -1, mine)]
    )
    values = np.concatenate([one.values, no_samples(len(mine))])
    gone = np.concatenate([np.zeros(len(one.ts_ms), dtype=np.bool_), histograms.stale[mine]])
    values[gone] = stale_markers(int(gone.sum()))
    order: npt.NDArray[np.int64] = np.argsort(ts_ms, kind="stable")
    column = HistogramColumn(index[order].astype(np.int32)[None, :], histograms.pool)
    return Group(
        rows=np.array([row], dtype=np.int32),
        ts_ms=ts_ms[order][None, :],
        ts_row=np.zeros(1, dtype=np.int32),
        values=values[order][None, :],
        histograms=column if (column.index >= 0).any() else None,
    )
