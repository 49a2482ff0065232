"""A store of series in plain dicts: slow, obvious, and held to the same contract as the real one."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from model.labels import Labels, LabelTable, Matcher, MatchOp
from model.samples import Floats, Ints, ScrapeBatch, is_no_sample, is_stale
from storage.interface import Group, Hints, Metadata, Refs, SeriesSet


class Done:
    """A ticket for what is stored already."""

    def wait(self, timeout_seconds: float | None = None) -> bool:
        return True


class MemoryStore:
    """See ``storage.interface.Appender`` and ``Queryable``."""

    def __init__(self) -> None:
        self.samples: dict[Labels, dict[int, float]] = {}
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

    def append_samples(self, refs: Refs, ts_ms: Ints, values: Floats) -> Done:
        for ref, ts, value in zip(refs.tolist(), ts_ms.tolist(), values, strict=True):
            self._put(self._series[ref], ts, value)
        return Done()

    def _put(self, labels: Labels, ts: int, value: np.float64) -> None:
        # kept as numpy scalars of the array: float() would change a signalling NaN's bits
        self.samples.setdefault(labels, {})[ts] = value

    def set_metadata(self, metadata: Mapping[str, Metadata]) -> None:
        self._metadata.update(metadata)

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        found = []
        for labels in sorted(self.samples):
            points = sorted((t, v) for t, v in self.samples[labels].items() if mint <= t <= maxt)
            if points and all(_matches(m, labels) for m in matchers):
                found.append((labels, points))
        groups = []
        for row, (_, points) in enumerate(found):
            values = np.array([v for _, v in points], dtype=np.float64)
            groups.append(
                Group(
                    rows=np.array([row], dtype=np.int32),
                    ts_ms=np.array([[t for t, _ in points]], dtype=np.int64),
                    ts_row=np.zeros(1, dtype=np.int32),
                    values=values[None, :],
                    dense=not is_stale(values).any(),
                )
            )
        return SeriesSet(LabelTable.from_labels([labels for labels, _ in found]), tuple(groups))

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


def _matches(matcher: Matcher, labels: Labels) -> bool:
    value = labels.get(matcher.name)
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        hit = value == matcher.value
    else:
        hit = re.fullmatch(matcher.value, value, re.DOTALL) is not None
    return hit if matcher.op in (MatchOp.EQUAL, MatchOp.REGEX) else not hit
