"""What a list of matchers selects, remembered from one query to the next.

Rules and dashboards ask for the same series again and again, and the labels of a series never
change. So its refs, its labels, and where it stands in each source are worked out once and hold
until the index has other series.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field

from model.labels import LabelTable, Matcher
from model.samples import Bools
from storage.interface import Refs
from storage.tsdb.index import SeriesIndex
from storage.tsdb.parts import Place

_KEPT_SERIES: Final = 500_000
_KEPT_PLACES: Final = 1024
_KEPT_IDS: Final = 2048


class Selection(Struct):
    """Series that pass some matchers.

    Attributes:
        refs: int64, rising.
        table: Their labels.
        generation: That of the index for which this was last known to be right.
        recycled: That of the index when it was made: refs named other series before.
        places: By key of a source: where the series stand there.
        elsewhere: Keys of the sources that have none of the series.
        deleted: Which of the series a deletion names, shape (size,).
    """

    refs: Refs
    table: LabelTable
    generation: int
    recycled: int
    places: dict[object, Place] = field(default_factory=dict)
    elsewhere: set[object] = field(default_factory=set)
    deleted: dict[object, Bools] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of series."""
        return len(self.refs)

    def remember(self, key: object, found: Place | None) -> Place | None:
        """Keep a place and return it."""
        if len(self.places) + len(self.elsewhere) >= _KEPT_PLACES:
            self.places.clear()
            self.elsewhere.clear()
            self.deleted.clear()
        if found is None:
            self.elsewhere.add(key)
        else:
            self.places[key] = found
        return found


class Selections:
    """Selections by their matchers; the most recently used ones. Any thread may ask."""

    def __init__(self, index: SeriesIndex) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Matcher, ...], Selection] = OrderedDict()
        self._series = 0
        self._by_id: dict[int, tuple[Sequence[Matcher], Selection]] = {}

    def find(self, matchers: Sequence[Matcher]) -> Selection:
        """Return the series that pass all matchers.

        Raises:
            QueryError: If a regular expression is not valid RE2.
        """
        generation = self._index.generation
        same = self._by_id.get(id(matchers))
        if same is not None and same[0] is matchers and same[1].generation == generation:
            return same[1]
        key = tuple(matchers)
        known = self._kept.get(key)
        if known is not None and known.generation == generation:
            self._remember(matchers, known)
            return known
        refs = self._index.select(key)
        recycled = self._index.recycled
        if known is not None and known.recycled == recycled and np.array_equal(known.refs, refs):
            known.generation = generation
            return known
        table = self._index.table(refs)
        table.notes["distinct"] = True
        made = Selection(refs, table, generation, recycled)
        self._keep(key, made)
        return made

    def _remember(self, matchers: Sequence[Matcher], known: Selection) -> None:
        """Let who asks with the same object be answered without a look at the matchers."""
        if isinstance(matchers, tuple):  # others may change
            if len(self._by_id) >= _KEPT_IDS:
                self._by_id.clear()
            self._by_id[id(matchers)] = (matchers, known)

    def _keep(self, key: tuple[Matcher, ...], made: Selection) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            self._series -= before.size + 100 if before is not None else 0
            if made.size > _KEPT_SERIES // 4:
                return
            self._kept[key] = made
            self._series += made.size + 100  # an empty one takes room too
            while self._series > _KEPT_SERIES:
                _, gone = self._kept.popitem(last=False)
                self._series -= gone.size + 100
                self._by_id.clear()  # they would keep what is gone
