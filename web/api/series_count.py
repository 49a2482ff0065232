"""A view of a store that counts what one query reads of it and stops one that reads too many series."""

from collections.abc import Mapping, Sequence

from model.errors import QueryLimitError
from model.labels import Matcher
from storage.interface import Hints, Metadata, Queryable, SeriesSet


class CountedQueryable:
    """One query's view of a store; see ``storage.interface.Queryable``.

    Args:
        store: The store.
        max_series: Most series over all selectors; 0 for any number.
    """

    def __init__(self, store: Queryable, max_series: int = 0) -> None:
        self._store = store
        self._max_series = max_series
        self.series = 0
        self.samples = 0

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int, hints: Hints) -> SeriesSet:
        """Select and count.

        Raises:
            QueryLimitError: If the query has read too many series now.
        """
        found = self._store.select(matchers, mint, maxt, hints)
        self.series += found.labels.size
        self.samples += sum(group.values.size for group in found.groups)
        if 0 < self._max_series < self.series:
            raise QueryLimitError("query would load too many series into memory in query execution")
        return found

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
