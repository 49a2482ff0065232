"""A store of series in plain dicts: slow, obvious, and held to the same contract as the real one."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.histogram.pool import (
    GAUGE,
    NOT_RESET,
    RESET,
    UNKNOWN,
    HistogramColumn,
    HistogramPool,
    concat_pools,
)
from model.histogram.resets import is_reset
from model.labels import Labels, LabelTable, Matcher, MatchOp
from model.samples import NO_SAMPLE, Exemplar, Floats, Ints, ScrapeBatch, is_no_sample, is_stale
from storage.interface import Group, Hints, Metadata, Refs, SeriesExemplars, SeriesSet


class Point(Struct):
    """One sample: a float, or a pool of one histogram."""

    value: float
    start: int = 0
    histogram: HistogramPool | None = None


class Done:
    """A ticket for what is stored already."""

    def wait(self, timeout_seconds: float | None = None) -> bool:
        return True


class MemoryStore:
    """See ``storage.interface.Appender`` and ``Queryable``."""

    def __init__(self) -> None:
        self.samples: dict[Labels, dict[int, float]] = {}
        self._more: dict[tuple[Labels, int], Point] = {}
        self._exemplars: dict[Labels, list[Exemplar]] = {}
        self._layouts: list[tuple[Labels, ...]] = []
        self._series: list[Labels] = []
        self._metadata: dict[str, Metadata] = {}

    def layout(self, labels: Sequence[Labels]) -> int:
        key = tuple(labels)
        if key not in self._layouts:
            self._layouts.append(key)
        return self._layouts.index(key)

    def append(self, batch: ScrapeBatch) -> Done:
        missing = is_no_sample(batch.values)
        for labels, value, absent in zip(
            self._layouts[batch.layout_id], batch.values, missing, strict=True
        ):
            if not absent:
                self._put(labels, batch.ts_ms, value)
        return Done()

    def series(self, labels: Sequence[Labels]) -> Refs:
        refs = []
        for one in labels:
            if one not in self._series:
                self._series.append(one)
            refs.append(self._series.index(one))
        return np.array(refs, dtype=np.int64)

    def append_samples(
        self,
        refs: Refs,
        ts_ms: Ints,
        values: Floats,
        *,
        start_ms: Ints | None = None,
        histograms: HistogramColumn | None = None,
    ) -> Done:
        for i, (ref, ts) in enumerate(zip(refs.tolist(), ts_ms.tolist(), strict=True)):
            self._put(self._series[ref], ts, values[i])
            point = Point(values[i], 0 if start_ms is None else int(start_ms[i]))
            if histograms is not None and histograms.index[i] >= 0:
                point.histogram = histograms.pool.take(histograms.index[i : i + 1])
                if point.histogram.hint[0] not in (GAUGE, RESET):
                    point.histogram = _hinted(point.histogram, UNKNOWN)
            if point.start or point.histogram is not None:
                self._more[self._series[ref], ts] = point
        return Done()

    def append_exemplars(self, refs: Refs, exemplars: Sequence[Exemplar]) -> Done:
        for ref, one in zip(refs.tolist(), exemplars, strict=True):
            known = self._exemplars.setdefault(self._series[ref], [])
            order = [(e.ts_ms, e.value, e.labels) for e in (one, *known[-1:])]
            if not known or order[0] > order[1]:
                known.append(one)
        return Done()

    def exemplars(
        self, matcher_sets: Sequence[Sequence[Matcher]], mint: int, maxt: int
    ) -> Sequence[SeriesExemplars]:
        found = []
        for labels, known in sorted(self._exemplars.items()):
            inside = tuple(e for e in known if mint <= e.ts_ms <= maxt)
            if inside and any(all(_matches(m, labels) for m in one) for one in matcher_sets):
                found.append(SeriesExemplars(labels, inside))
        return found

    def _put(self, labels: Labels, ts: int, value: np.float64) -> None:
        # kept as numpy scalars of the array: float() would change a signalling NaN's bits
        self.samples.setdefault(labels, {})[ts] = value
        self._more.pop((labels, ts), None)

    def set_metadata(self, metadata: Mapping[str, Metadata]) -> None:
        self._metadata.update(metadata)

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        found = []
        for labels in sorted(self.samples):
            inside = {t: v for t, v in self.samples[labels].items() if mint <= t <= maxt}
            more = self._more
            points = [(t, more.get((labels, t)) or Point(inside[t])) for t in sorted(inside)]
            if points and all(_matches(m, labels) for m in matchers):
                found.append((labels, points))
        groups = tuple(_group(row, points) for row, (_, points) in enumerate(found))
        return SeriesSet(LabelTable.from_labels([labels for labels, _ in found]), groups)

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        table = self.select(matchers, mint, maxt, Hints(series_only=True)).labels
        return sorted(table.columns)

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        rows = self.select(matchers, mint, maxt, Hints(series_only=True)).labels.rows()
        return sorted({labels.get(name) for labels in rows} - {""})

    def metadata(self, metric: str = "") -> Mapping[str, Metadata]:
        return {n: m for n, m in self._metadata.items() if metric in ("", n)}


def _group(row: int, points: Sequence[tuple[int, Point]]) -> Group:
    """Lay out one series."""
    floats = [NO_SAMPLE[0] if p.histogram is not None else p.value for _, p in points]
    values = np.array(floats, dtype=np.float64)
    pools: list[HistogramPool] = []
    index = []
    before: HistogramPool | None = None
    for _, point in points:
        index.append(-1 if point.histogram is None else len(pools))
        if point.histogram is not None:
            pools.append(_after(before, point.histogram))
        before = point.histogram
    starts = np.array([[p.start for _, p in points]], dtype=np.int64)
    column = None
    if pools:
        column = HistogramColumn(np.array([index], dtype=np.int32), concat_pools(pools))
    return Group(
        rows=np.array([row], dtype=np.int32),
        ts_ms=np.array([[t for t, _ in points]], dtype=np.int64),
        ts_row=np.zeros(1, dtype=np.int32),
        values=values[None, :],
        dense=not pools and not is_stale(values).any(),
        histograms=column,
        start_ms=starts if starts.any() else None,
    )


def _after(before: HistogramPool | None, one: HistogramPool) -> HistogramPool:
    """Give a histogram the hint it has behind another."""
    if one.hint[0] in (GAUGE, RESET) or before is None:
        return one
    fell = is_reset(one, _hinted(before, UNKNOWN))[0]
    return _hinted(one, RESET if fell else NOT_RESET)


def _hinted(pool: HistogramPool, hint: int) -> HistogramPool:
    return replace(pool, hint=np.full(pool.size, hint, dtype=np.int8))


def _matches(matcher: Matcher, labels: Labels) -> bool:
    value = labels.get(matcher.name)
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        hit = value == matcher.value
    else:
        hit = re.fullmatch(matcher.value, value, re.DOTALL) is not None
    return hit if matcher.op in (MatchOp.EQUAL, MatchOp.REGEX) else not hit
