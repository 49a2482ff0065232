"""The newest exemplars of all series, in a ring of fixed size.

They are seen as soon as they are added, and no more if it turns out that they could not be logged.
What gave way to one of those does not come back.
"""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.labels import Labels
from model.samples import Bools, Exemplar, Floats, Ints
from storage.interface import Refs, SeriesExemplars
from storage.tsdb.index import SeriesIndex

Tokens = npt.NDArray[np.int64]

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
        self._there: Bools = np.zeros(limit, dtype=np.bool_)
        self._logged: Bools = np.zeros(limit, dtype=np.bool_)

    @property
    def size(self) -> int:
        """Number of places that were ever used."""
        return len(self._labels)

    def add(self, refs: Refs, exemplars: Sequence[Exemplar], *, logged: bool = False) -> Tokens:
        """Take exemplars, one for each ref, and return what ``settle`` calls them; -1 for those left out.

        Left out are those that are there already, those older than the newest of their series
        (or as old and of a smaller value, as in Prometheus), and those with too long labels.
        """
        with self._lock:
            rows = zip(refs.tolist(), exemplars, strict=True)
            tokens = [self._add(ref, one, logged=logged) for ref, one in rows]
            return np.array(tokens, dtype=np.int64)

    def settle(self, tokens: Tokens, *, logged: bool) -> None:
        """Say that some were logged, or could not be and are to be seen no more."""
        with self._lock:
            places = tokens[tokens >= self._added - self._limit] % max(self._limit, 1)
            if logged:
                self._logged[places] = True
                return
            self._there[places] = False
            there = np.flatnonzero(self._there[: self.size])
            for ref in np.unique(self._refs[places]).tolist():
                self._newest.pop(ref, None)
                mine = there[self._refs[there] == ref]
                if len(mine):
                    age = (mine - self._added) % self.size
                    self._newest[ref] = int(mine[age.argmax()])

    def _add(self, ref: int, one: Exemplar, *, logged: bool) -> int:
        if not self._limit or sum(len(n) + len(v) for n, v in one.labels) > MAX_LABEL_CHARACTERS:
            return -1
        newest = self._newest.get(ref)
        if newest is not None and self._order(one) <= self._order(self._at(newest)):
            return -1
        place = self._added % self._limit
        if self.size == self._limit:
            gone = int(self._refs[place])
            if self._newest.get(gone) == place:
                del self._newest[gone]
            self._labels[place] = one.labels
        else:
            self._labels.append(one.labels)
        self._refs[place], self._ts[place], self._values[place] = ref, one.ts_ms, one.value
        self._newest[ref] = place
        self._there[place], self._logged[place] = True, logged
        self._added += 1
        return self._added - 1

    def _order(self, one: Exemplar) -> tuple[int, float, Labels]:
        return one.ts_ms, one.value, one.labels

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._labels, self._added = [], 0
            self._newest.clear()

    def every(self) -> tuple[Refs, list[Exemplar]]:
        """Return all that were logged, oldest first."""
        with self._lock:
            size = self.size
            places = (np.arange(size) + self._added) % max(size, 1)
            places = places[self._there[places] & self._logged[places]]
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
            mask &= self._there[:size]
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
