"""A view of a store that counts what one query reads of it, and stops one that would read too much.

The engine counts samples once they are in memory. A selector over many series and a long time is
therefore looked at beforehand, a slice of its time after the other, so that no more is ever read
than a query may have.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from model.errors import QueryLimitError
from model.labels import Matcher
from storage.interface import Hints, Metadata, Queryable, SeriesSet

TOO_MANY_SERIES: Final = "query would load too many series into memory in query execution"
TOO_MANY_SAMPLES: Final = (
    "query processing would load too many samples into memory in query execution"
)
# shorter times are read without a look beforehand
_SHORT_MS: Final = 600_000
# samples stand at least so far apart; where they do not, the engine finds out a little later
_SPACING_MS: Final = 2_000
# the first slice is this part of what may be too much
_FIRST: Final = 16
_MOST_SLICES: Final = 48


class CountedQueryable:
    """One query's view of a store; see ``storage.interface.Queryable``.

    Args:
        store: The store.
        max_series: Most series over all selectors; 0 for any number.
        max_samples: Most samples that one selector may read; 0 for any number.
        series_at_most: Returns what the number of series in a time does not exceed, at once; where
            all of them would not be too many, no selector is looked at beforehand.
    """

    def __init__(
        self,
        store: Queryable,
        max_series: int = 0,
        max_samples: int = 0,
        series_at_most: Callable[[int, int], int] | None = None,
    ) -> None:
        self._store = store
        self._series_at_most = series_at_most
        self._max_series = max_series
        self._max_samples = max_samples
        self.series = 0

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        """Select and count.

        Raises:
            QueryLimitError: If the query has read too many series now, or would read too many samples.
        """
        if self._max_samples and maxt - mint > _SHORT_MS and not hints.series_only:
            self._look(matchers, mint, maxt, hints)
        found = self._store.select(matchers, mint, maxt, hints)
        self.series += found.labels.size
        if 0 < self._max_series < self.series:
            raise QueryLimitError(TOO_MANY_SERIES)
        return found

    def _look(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> None:
        """Count the samples of a selector without holding them all, if they may be too many."""
        at_most = self._series_at_most
        if at_most is not None and self._are_few(at_most(mint, maxt), mint, maxt):
            return
        series_only = replace(hints, series_only=True)
        series = self._store.select(matchers, mint, maxt, series_only).labels.size
        if self._are_few(series, mint, maxt):
            return
        cells = 0
        for low, high in _slices(mint, maxt, self._max_samples * _SPACING_MS // max(series, 1)):
            cells += _cells(self._store.select(matchers, low, high, hints))
            if cells > self._max_samples:
                raise QueryLimitError(TOO_MANY_SAMPLES)
            # as dense as so far, it is far from too much
            if cells * (maxt - mint) < self._max_samples * (maxt - low) // 2:
                return

    def _are_few(self, series: int, mint: int, maxt: int) -> bool:
        return series * (maxt - mint) // _SPACING_MS <= self._max_samples

    def label_names(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> list[str]:
        """Pass on."""
        return self._store.label_names(matchers, mint, maxt)

    def label_values(
        self, name: str, matchers: Sequence[Matcher], mint: int, maxt: int
    ) -> list[str]:
        """Pass on."""
        return self._store.label_values(name, matchers, mint, maxt)

    def metadata(self, metric: str = "") -> Mapping[str, Metadata]:
        """Pass on."""
        return self._store.metadata(metric)


def _cells(found: SeriesSet) -> int:
    return sum(group.values.size for group in found.groups)


def _slices(mint: int, maxt: int, most_ms: int) -> Iterator[tuple[int, int]]:
    """Cut a time into slices, the newest first, which begin short and become as long as allowed.

    There are never so many that looking at them takes long: a time that is much too long for its
    series is cut into coarser ones.
    """
    most_ms = max(most_ms, (maxt - mint) // _MOST_SLICES, 1)
    length = max(most_ms // _FIRST, 1)
    high = maxt
    while high >= mint:
        low = max(mint, high - length + 1)
        yield low, high
        high = low - 1
        length = min(length * 2, most_ms)
