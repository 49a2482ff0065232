"""The newest exemplars of all series, in a ring of fixed size."""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.labels import Labels
from model.samples import Exemplar, Floats, Ints
from storage.interface import Refs, SeriesExemplars
from storage.tsdb.index import SeriesIndex

MAX_LABEL_CHARACTERS = 128  # OpenMetrics: of all label names and values of one exemplar


class Exemplars:
    """See the module; the oldest give way. All methods may be called from any thread.

    Args:
        index: Knows the labels of refs.
        limit: Most exemplars that are kept; 0 keeps none.
    """

    def __init__(self, index: SeriesIndex, limit: int) -> None:
        self._index = index
        self._limit = limit
        self._lock = threading.Lock()
        self._refs: Refs = np.empty(limit, dtype=np.int64)
        self._ts: Ints = np.empty(limit, dtype=np.int64)
        self._values: Floats = np.empty(limit)
        self._labels: list[Labels] = []
        self._newest: dict[int, int] = {}
        self._added = 0

    @property
    def size(self) -> int:
        """Number of exemplars."""
        return len(self._labels)

    def add(self, refs: Refs, exemplars: Sequence[Exemplar]) -> list[bool]:
        """Take exemplars, one for each ref, and tell which were taken.

        Left out are those that are there already, those older than the newest of their series
        (or as old and of a smaller value, as in Prometheus), and those with too long labels.
        """
        with self._lock:
            return [self._add(ref, one) for ref, one in zip(refs.tolist(), exemplars, strict=True)]

    def _add(self, ref: int, one: Exemplar) -> bool:
        if not self._limit or sum(len(n) + len(v) for n, v in one.labels) > MAX_LABEL_CHARACTERS:
            return False
        newest = self._newest.get(ref)
        if newest is not None and self._order(one) <= self._order(self._at(newest)):
            return False
        place = self._added % self._limit
        if self.size == self._limit:
            gone = int(self._refs[place])
            if self._newest[gone] == place:
                del self._newest[gone]
            self._labels[place] = one.labels
        else:
            self._labels.append(one.labels)
        self._refs[place], self._ts[place], self._values[place] = ref, one.ts_ms, one.value
        self._newest[ref] = place
        self._added += 1
        return True

    def _order(self, one: Exemplar) -> tuple[int, float, Labels]:
        return one.ts_ms, one.value, one.labels

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._labels, self._added = [], 0
            self._newest.clear()

    def every(self) -> tuple[Refs, list[Exemplar]]:
        """Return all, oldest first."""
        with self._lock:
            size = self.size
            places = (np.arange(size) + self._added) % max(size, 1)
            return self._refs[places], [self._at(place) for place in places.tolist()]

    def refs(self) -> Refs:
        """Return the series that have exemplars."""
        with self._lock:
            return np.fromiter(self._newest, dtype=np.int64, count=len(self._newest))

    def find(self, refs: Refs, mint: int, maxt: int) -> list[SeriesExemplars]:
        """Return the exemplars of some series in [mint, maxt], by labels and time."""
        with self._lock:
            size = self.size
            ts = self._ts[:size]
            mask = np.isin(self._refs[:size], refs) & (ts >= mint) & (ts <= maxt)
            places = np.flatnonzero(mask)
            age = (places - self._added) % max(size, 1)
            places = places[np.lexsort((age, ts[places], self._refs[places]))]
            owners = self._refs[places]
            every = [self._at(place) for place in places.tolist()]
        edges = np.flatnonzero(np.diff(owners)) + 1
        starts: npt.NDArray[np.integer] = np.append(0, edges)
        rows = self._index.table(owners[starts] if len(owners) else owners).rows()
        stops = np.append(edges, len(owners)).tolist()
        out = [
            SeriesExemplars(labels, tuple(every[a:b]))
            for labels, a, b in zip(rows, starts.tolist(), stops, strict=False)
        ]
        return sorted(out, key=lambda found: found.labels)

    def _at(self, place: int) -> Exemplar:
        return Exemplar(self._labels[place], float(self._values[place]), int(self._ts[place]))
