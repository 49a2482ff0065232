"""Writes the series of one rule, and a stale marker for each that is not there any more."""

from collections.abc import Sequence

import numpy as np

from model.errors import UnknownSeriesError
from model.labels import Labels
from model.samples import Floats, ScrapeBatch, stale_markers
from storage.interface import Appender


class SeriesWriter:
    """What one rule wrote last is what it marks stale when it is gone."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._labels: tuple[Labels, ...] = ()
        self._layout: int | None = None

    def resume(self, labels: Sequence[Labels]) -> None:
        """Take these for what was written last; for what a process before this one wrote."""
        self._labels, self._layout = tuple(labels), None

    def write(self, labels: Sequence[Labels], values: Floats, ts_ms: int) -> None:
        """Store one evaluation's results.

        Raises:
            StorageError: If the store takes no more series.
        """
        now = tuple(labels)
        if now != self._labels or self._layout is None:
            here = set(now)
            gone = [one for one in self._labels if one not in here]
            layout = self._appender.layout(now) if now else None
            self._mark_stale(gone, ts_ms)
            self._labels, self._layout = now, layout
        if self._layout is not None:
            try:
                self._appender.append(ScrapeBatch(self._layout, ts_ms, values))
            except UnknownSeriesError:  # unused for so long that the store forgot it
                self._layout = self._appender.layout(now)
                self._appender.append(ScrapeBatch(self._layout, ts_ms, values))

    def forget(self, ts_ms: int) -> None:
        """Mark everything stale; the rule is gone."""
        self._mark_stale(self._labels, ts_ms)
        self._labels, self._layout = (), None

    def _mark_stale(self, labels: Sequence[Labels], ts_ms: int) -> None:
        if labels:
            refs = self._appender.series(labels)
            times = np.full(len(refs), ts_ms, dtype=np.int64)
            self._appender.append_samples(refs, times, stale_markers(len(refs)))
