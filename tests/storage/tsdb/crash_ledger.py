"""What crash_writer.py acknowledged, held against what a store answers."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct, field

from model.labels import Labels
from model.samples import Floats, Ints, is_no_sample
from storage.interface import TS_PAD, Group, Hints
from storage.tsdb.db import Tsdb
from tests.storage.histograms import histogram_at
from tests.storage.tsdb.crash_writer import LATE, SERIES, STEP_MS, histogram

_LAST_METRIC = (SERIES - 1) // 12 * 12  # first series of the metric that deletions take


class Verdict(Struct):
    """What is not as it should be; all lists are empty if all is well.

    Attributes:
        checked: Samples looked at.
        lost: Acknowledged samples that are missing.
        wrong: Samples that were never written so, or were deleted.
        twice: Series or times that stand in an answer twice.
    """

    checked: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """True if nothing is amiss."""
        return not (self.lost or self.wrong or self.twice)


class Ledger:
    """The ledger as read; a last line that the writer died over does not count."""

    def __init__(self, path: Path) -> None:
        self._scrapes: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._tried: dict[tuple[int, int], list[float]] = defaultdict(list)
        self._late: dict[tuple[int, int], int] = {}
        self._deleted: dict[int, list[tuple[int, int, bool]]] = defaultdict(list)
        self._exemplar_ms = 0
        self.empty = True
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                self.empty = False
                kind, *rest = line.split()
                self._take(kind, *map(int, rest))

    def _take(self, kind: str, target: int, number: int, ts: int) -> None:
        if kind == "scrape":
            self._scrapes[target, number].append(ts)
        elif kind == "try":
            self._tried[target, ts].append(float(number))
        elif kind == "late":  # whatever was tried before it is overwritten
            tried = self._tried[target, ts]
            self._late[target, ts] = tried.index(float(number))
        elif kind == "exemplar":
            self._exemplar_ms = ts
        else:
            self._deleted[target].append((number, ts, kind == "deleted"))

    def check(self, db: Tsdb) -> Verdict:
        """Ask for everything and look at every sample."""
        verdict = Verdict()
        found: dict[tuple[int, int], tuple[Ints, Floats]] = {}
        for labels, ts, values in _series(db):
            key = (int(labels.get("instance")[1:]), int(labels.get("i")))
            if key in found or (np.diff(ts) <= 0).any():
                verdict.twice.append(str(labels))
            found[key] = (ts, values)
            verdict.checked += len(ts)
        exemplars = [e.ts_ms for one in db.exemplars([[]], 0, 2**62) for e in one.exemplars]
        if max(exemplars, default=0) < self._exemplar_ms:
            verdict.lost.append(f"the exemplar at {self._exemplar_ms}")
        none = np.empty(0, np.int64), np.empty(0)
        for target in range(3):
            for i in range(SERIES):
                self._check_series(target, i, *found.get((target, i), none), verdict)
        return verdict

    def _check_series(
        self, target: int, i: int, ts: Ints, values: Floats, verdict: Verdict
    ) -> None:
        name = f"series {i} of target {target}"
        must = [
            t
            for (of, size), times in self._scrapes.items()
            if of == target and i < size
            for t in times
        ]
        wanted = np.array(must, dtype=np.int64)
        if i >= _LAST_METRIC:
            for low, high, done in self._deleted[target]:
                wanted = wanted[(wanted < low) | (wanted > high)]
                if done:
                    back = ts[(ts >= low) & (ts <= high)]
                    verdict.wrong.extend(f"{name}: {t} was deleted" for t in back.tolist())
        missing = wanted[~np.isin(wanted, ts)]
        verdict.lost.extend(f"{name}: scrape at {t}" for t in missing.tolist())
        scraped = ts % STEP_MS == 0
        bad = scraped & (values != ts / 1000 + i)
        verdict.wrong.extend(
            f"{name}: {v} at {t}" for t, v in zip(ts[bad], values[bad], strict=True)
        )
        own = dict(zip(ts[~scraped].tolist(), values[~scraped].tolist(), strict=True))
        for t, value in own.items():
            allowed = self._tried.get((target, t), [])[self._late.get((target, t), 0) :]
            if i >= LATE or value not in allowed:
                verdict.wrong.append(f"{name}: {value} at {t}, not of {allowed}")
        if i < LATE:
            gone = [t for of, t in self._late if of == target and t not in own]
            verdict.lost.extend(f"{name}: late sample at {t}" for t in gone)


def _series(db: Tsdb) -> Iterator[tuple[Labels, Ints, Floats]]:
    found = db.select([], 0, 2**62, Hints())
    for group in found.groups:
        absent = is_no_sample(group.values) | (group.ts_ms == TS_PAD)[group.ts_row]
        numbers = group.values.copy()
        if group.histograms is not None:
            absent &= group.histograms.index < 0
            for row, column in np.argwhere(group.histograms.index >= 0).tolist():
                numbers[row, column] = _number(group, row, column)
        for row, ts_row, values, gone in zip(
            group.rows.tolist(), group.ts_row.tolist(), numbers, absent, strict=True
        ):
            yield found.labels.labels(row), group.ts_ms[ts_row][~gone], values[~gone]


def _number(group: Group, row: int, column: int) -> float:
    """Return what wrote a histogram; NaN if any part of it is not as it was written."""
    assert group.histograms is not None
    found = histogram_at(group.histograms.pool, int(group.histograms.index[row, column]))
    number = found.positive.get(0, 0.0)
    ts = int(group.ts_ms[group.ts_row[row], column])
    started = group.start_ms is not None and group.start_ms[row, column] == ts - number
    return number if started and found == histogram(int(number), ts) else np.nan
