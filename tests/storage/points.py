"""A SeriesSet as plain Python, for asserts."""

import numpy as np

from model.labels import Labels
from model.samples import is_no_sample, is_stale
from storage.interface import TS_PAD, SeriesSet


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
