"""A SeriesSet as plain Python, for asserts."""

import numpy as np

from model.labels import Labels
from model.samples import is_no_sample, is_stale
from storage.interface import TS_PAD, SeriesSet
from tests.storage.histograms import Histogram, histogram_at


def points(found: SeriesSet) -> dict[Labels, list[tuple[int, float]]]:
    """Flatten a SeriesSet: samples by labels; each series may stand in one group only."""
    return {
        labels: [(ts, float(np.int64(bits).view(np.float64))) for ts, bits in samples]
        for labels, samples in point_bits(found).items()
    }


def point_bits(found: SeriesSet) -> dict[Labels, list[tuple[int, int]]]:
    """As ``points``, values as their 64 bits; checks what a SeriesSet promises on the way."""
    out: dict[Labels, list[tuple[int, int]]] = {}
    for group in found.groups:
        assert len(group.rows) == len(group.ts_row) == len(group.values)
        absent = is_no_sample(group.values)
        if group.histograms is not None:
            assert absent[group.histograms.index >= 0].all()
            assert not group.dense
            absent &= group.histograms.index < 0
        padding = (group.ts_ms == TS_PAD)[group.ts_row]
        assert (np.diff(group.ts_ms, axis=1) > 0)[group.ts_ms[:, 1:] != TS_PAD].all()
        if group.dense:
            assert not ((absent | is_stale(group.values)) & ~padding).any()
        bits = np.ascontiguousarray(group.values).view(np.int64)
        for i, row in enumerate(group.rows.tolist()):
            labels = found.labels.labels(row)
            assert labels not in out, f"{labels} stands in two places"
            here = ~absent[i] & ~padding[i]
            assert here.any(), f"{labels} has no sample"
            ts = group.ts_ms[group.ts_row[i]][here]
            out[labels] = list(zip(ts.tolist(), bits[i][here].tolist(), strict=True))
    assert len(out) == found.labels.size
    return out


Sample = tuple[int, int, int | Histogram]  # time, start timestamp, bits of the float or histogram


def samples(found: SeriesSet) -> dict[Labels, list[Sample]]:
    """As ``point_bits``, with start timestamps and histograms."""
    times = point_bits(found)
    out: dict[Labels, list[Sample]] = {}
    for group in found.groups:
        bits = np.ascontiguousarray(group.values).view(np.int64)
        for i, row in enumerate(group.rows.tolist()):
            labels = found.labels.labels(row)
            wanted = {ts for ts, _ in times[labels]}
            out[labels] = []
            for column, ts in enumerate(group.ts_ms[group.ts_row[i]].tolist()):
                if ts not in wanted:
                    continue
                start = 0 if group.start_ms is None else int(group.start_ms[i, column])
                place = -1 if group.histograms is None else int(group.histograms.index[i, column])
                if group.histograms is None or place < 0:
                    out[labels].append((ts, start, int(bits[i, column])))
                else:
                    out[labels].append((ts, start, histogram_at(group.histograms.pool, place)))
    return out
