"""How many series there may be, in all and of one target; who was refused is counted and named.

A target is what carries one ``job`` and ``instance``: the series of a scrape do, and so do those that
a remote write or OTLP client sends.
"""

import heapq
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import Counter

from model.errors import StorageError
from storage.tsdb.stats import Dropped

_KEPT_TARGETS: Final = 1000  # that are told apart; what further ones offered counts as "other"
_OTHER: Final = "other targets"

Target = tuple[str, str]


class SeriesLimits:
    """See the module; the index asks before it makes series.

    Args:
        max_series: In all.
        per_target: Of one target; 0 is no limit.
        counter: Counts refused series by limit.
    """

    def __init__(
        self, max_series: int, per_target: int = 0, counter: Counter | None = None
    ) -> None:
        self.max_series = max_series
        self.per_target = per_target
        self._counter = counter
        self._lock = threading.Lock()
        self._dropped: dict[tuple[str, str], int] = {}

    def check_all(self, live: int, fresh: Mapping[Target, int]) -> None:
        """Let some series in, or not one of them.

        Args:
            live: Series that there are.
            fresh: New ones by target.

        Raises:
            StorageError: If there would be too many in all.
        """
        if live + sum(fresh.values()) > self.max_series:
            self._drop("max_series", fresh)
            raise StorageError(
                f"the limit of {self.max_series} series is reached; "
                "raise storage.max_series or drop labels with many values"
            )

    def check_target(self, target: Target, live: int, fresh: int) -> None:
        """Let some series of one target in, or not one of them.

        Raises:
            StorageError: If there would be too many of it.
        """
        if self.per_target and live + fresh > self.per_target:
            self._drop("max_series_per_target", {target: fresh})
            raise StorageError(
                f"target {_name(target) or 'without job and instance'} has {live} series and offers "
                f"{fresh} more: the limit of {self.per_target} is reached; raise "
                "storage.max_series_per_target or drop labels with many values"
            )

    def dropped(self, most: int) -> tuple[Dropped, ...]:
        """Return whose series were refused, the most refused first."""
        with self._lock:
            rows = [Dropped(name, limit, n) for (name, limit), n in self._dropped.items()]
        return tuple(heapq.nsmallest(most, rows, key=lambda row: (-row.series, row.target)))

    def _drop(self, limit: str, fresh: Mapping[Target, int]) -> None:
        with self._lock:
            for target, series in fresh.items():
                key = (_name(target), limit)
                if key not in self._dropped and len(self._dropped) >= _KEPT_TARGETS:
                    key = (_OTHER, limit)
                self._dropped[key] = self._dropped.get(key, 0) + series
        if self._counter is not None:
            self._counter.labels(limit).inc(sum(fresh.values()))


def _name(target: Sequence[str]) -> str:
    return "/".join(target) if any(target) else ""
