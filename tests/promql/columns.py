"""A store of columns for the engine's tests: one group per metric name, holes and all, histograms too."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct

from model.histogram.pool import HistogramColumn
from model.labels import Labels, LabelTable, Matcher, MatchOp
from model.samples import NO_SAMPLE, is_no_sample, is_stale
from promql.regex import compile_anchored
from storage.interface import Group, Hints, Metadata, SeriesSet
from tests.promql.histograms import Hist, to_pool


class Sample(Struct, frozen=True):
    """A float or a histogram, with its start timestamp (0 for none)."""

    value: np.float64 | Hist
    start_ms: int = 0


class ColumnStore:
    """See ``storage.interface.Queryable``."""

    def __init__(self) -> None:
        self.samples: dict[Labels, dict[int, Sample]] = {}

    def put(self, labels: Labels, ts_ms: int, sample: Sample) -> None:
        """Take one sample."""
        self.samples.setdefault(labels, {})[ts_ms] = sample

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        found: dict[str, list[tuple[Labels, dict[int, Sample]]]] = {}
        for labels in sorted(self.samples):
            if all(_matches(m, labels) for m in matchers):
                points = {t: s for t, s in self.samples[labels].items() if mint <= t <= maxt}
                if points:
                    found.setdefault(labels.get("__name__"), []).append((labels, points))
        groups: list[Group] = []
        rows: list[Labels] = []
        for members in found.values():
            groups.append(_group(members, len(rows)))
            rows += [labels for labels, _ in members]
        return SeriesSet(LabelTable.from_labels(rows), tuple(groups))

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        return sorted(self.select(matchers, mint, maxt, Hints()).labels.columns)

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        rows = self.select(matchers, mint, maxt, Hints()).labels.rows()
        return sorted({labels.get(name) for labels in rows} - {""})

    def metadata(self, metric: str = "") -> Mapping[str, Metadata]:
        return {}


def _group(members: list[tuple[Labels, dict[int, Sample]]], first_row: int) -> Group:
    times = sorted({t for _, points in members for t in points})
    at = {t: i for i, t in enumerate(times)}
    shape = (len(members), len(times))
    values = np.full(shape, NO_SAMPLE[0])
    values.view(np.int64)[:] = NO_SAMPLE.view(np.int64)[0]
    start_ms = np.zeros(shape, dtype=np.int64)
    places, hists = [], []
    for i, (_, points) in enumerate(members):
        for t, sample in points.items():
            start_ms[i, at[t]] = sample.start_ms
            if isinstance(sample.value, Hist):
                places.append((i, at[t]))
                hists.append(sample.value)
            else:
                # bit by bit: an assignment of a float would quieten a signalling NaN
                values.view(np.int64)[i, at[t]] = np.array([sample.value]).view(np.int64)[0]
    histograms = None
    if hists:
        histograms = _columns(places, hists, shape)
    odd = is_no_sample(values) | is_stale(values)
    return Group(
        rows=np.arange(first_row, first_row + len(members), dtype=np.int32),
        ts_ms=np.array([times], dtype=np.int64),
        ts_row=np.zeros(len(members), dtype=np.int32),
        values=values,
        dense=not odd.any(),
        histograms=histograms,
        start_ms=start_ms if start_ms.any() else None,
    )


def _columns(
    places: list[tuple[int, int]], hists: list[Hist], shape: tuple[int, int]
) -> HistogramColumn:
    index = np.full(shape, -1, dtype=np.int32)
    index[tuple(np.array(places).T)] = np.arange(len(hists))
    return HistogramColumn(index, to_pool(hists))


@lru_cache(maxsize=1024)
def _hit(op: MatchOp, pattern: str, value: str) -> bool:
    if op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        same = value == pattern
    else:
        same = compile_anchored(pattern).fullmatch(value) is not None
    return same if op in (MatchOp.EQUAL, MatchOp.REGEX) else not same


def _matches(matcher: Matcher, labels: Labels) -> bool:
    return _hit(matcher.op, matcher.value, labels.get(matcher.name))
