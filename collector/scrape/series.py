"""From one target's expositions to the store: relabelling, limits, staleness, and the target's own series.

The series of a target and its report (``up`` and the like) are one layout. While the target exposes
the same series, a scrape is one append of one column.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from collector.scrape.grammar import parse_series
from collector.scrape.http import FetchError
from collector.scrape.relabel import relabel
from collector.scrape.target import ScrapeJob, Target
from collector.scrape.text import NO_TIMESTAMP, Exposition
from model.errors import UnknownSeriesError
from model.labels import METRIC_NAME, Labels
from model.samples import (
    Bools,
    Ints,
    ScrapeBatch,
    no_samples,
    stale_markers,
)
from storage.interface import Appender, Refs

REPORT: Final = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)

Pairs = dict[tuple[str, str], tuple[str, str]]


class Outcome(Struct, frozen=True):
    """What became of one scrape's samples.

    Attributes:
        scraped: Samples exposed.
        kept: Samples left after relabelling.
        added: Series that the scrape before did not have.
        rejected: Samples left out by reason.
    """

    scraped: int
    kept: int
    added: int
    rejected: Mapping[str, int]


class _Plan(Struct):
    """What to do with the columns of an exposition whose series are ``series``.

    Attributes:
        series: The exposition's own object; a plan fits while it is the same.
        made: The labels of each; a word where there is no such series: why, "" if it was dropped.
        stamped: Which samples have their own timestamps; None if none has.
        labels: Series of the layout, in its order, without the report.
        layout_id: The layout, report included.
        take: Column of each series of the layout; None if it is all of them in order.
        own: Columns of the samples with their own timestamps, and their references.
        refs: See ``own``.
        rejected: Samples left out by reason.
    """

    series: Sequence[bytes]
    made: Sequence[Labels | str]
    stamped: Bools | None
    labels: tuple[Labels, ...]
    layout_id: int
    take: npt.NDArray[np.intp] | None
    own: npt.NDArray[np.intp]
    refs: Refs
    rejected: dict[str, int]


class TargetSeries:
    """The series of one target; used by one thread at a time.

    Args:
        target: Whose they are.
        appender: Where they go.
    """

    def __init__(self, target: Target, appender: Appender) -> None:
        self._target = target
        self._appender = appender
        self._plan: _Plan | None = None
        self._live = False  # whether the last scrape left series that are not stale
        self._report = tuple(
            Labels.of({**target.labels.asdict(), METRIC_NAME: name}) for name in REPORT
        )

    def append(self, found: Exposition, at_ms: int, duration_seconds: float) -> Outcome:
        """Store one scrape that worked.

        Raises:
            FetchError: If it breaks one of the job's limits; nothing is stored then.
            StorageError: If the store refuses it.
        """
        plan, added = self._plan_for(found, at_ms)
        values = np.empty(len(plan.labels) + len(REPORT), dtype=np.float64)
        series = values[: len(plan.labels)]
        series[:] = found.values if plan.take is None else found.values[plan.take]
        kept = len(plan.labels) + len(plan.own)
        values[len(plan.labels) :] = (1.0, duration_seconds, len(found.values), kept, added)
        try:
            self._appender.append(ScrapeBatch(plan.layout_id, at_ms, values))
            if len(plan.own) and found.ts_ms is not None:
                own = found.values[plan.own]
                self._appender.append_samples(plan.refs, found.ts_ms[plan.own], own)
        except UnknownSeriesError:
            self._plan = None  # the next scrape registers its series again
            raise
        self._live = True
        return Outcome(len(found.values), kept, added, plan.rejected)

    def fail(self, at_ms: int, duration_seconds: float) -> None:
        """Store that a scrape did not work: ``up`` 0, and stale markers for what was there.

        Raises:
            StorageError: If the store refuses it.
        """
        if self._plan is None:
            layout_id, size = self._appender.layout(self._report), 0
        else:
            layout_id, size = self._plan.layout_id, len(self._plan.labels)
        values = np.empty(size + len(REPORT), dtype=np.float64)
        values[:size] = stale_markers(size) if self._live else no_samples(size)
        values[size:] = (0.0, duration_seconds, 0.0, 0.0, 0.0)
        self._live = False
        try:
            self._appender.append(ScrapeBatch(layout_id, at_ms, values))
        except UnknownSeriesError:
            self._plan = None
            raise

    def end(self, at_ms: int) -> None:
        """Mark every series as stale, the report too: the target is no more.

        Raises:
            StorageError: If the store refuses it.
        """
        labels = self._report
        if self._plan is not None and self._live:
            labels = (*self._plan.labels, *self._report)
        self._stale(labels, at_ms)
        self._plan = None

    def _plan_for(self, found: Exposition, at_ms: int) -> tuple[_Plan, int]:
        """Return the plan for these series and how many of them are new."""
        stamped = self._stamped(found.ts_ms)
        known = self._plan
        if known is not None and known.series is found.series and _equal(known.stamped, stamped):
            return known, 0 if self._live else len(known.labels)
        plan = self._make_plan(found, stamped)
        before = set(known.labels) if known is not None and self._live else set()
        now = set(plan.labels)
        if gone := before - now:
            self._stale(tuple(gone), at_ms)
        self._plan = plan
        return plan, len(now - before) + (len(plan.own) if known is None else 0)

    def _make_plan(self, found: Exposition, stamped: Bools | None) -> _Plan:
        rows: dict[Labels, int] = {}  # in order; the first of equal series counts
        rejected: dict[str, int] = {}
        every = self._all_labels(found)
        for column, made in enumerate(every):
            if isinstance(made, str):
                if made:
                    rejected[made] = rejected.get(made, 0) + 1
            elif made in rows:
                rejected["duplicate"] = rejected.get("duplicate", 0) + 1
            else:
                rows[made] = column
        limit = self._target.job.sample_limit
        if limit and len(rows) > limit:
            raise FetchError("sample_limit", f"{len(rows)} samples, sample_limit is {limit}")
        own = {} if stamped is None else {k: c for k, c in rows.items() if stamped[c]}
        labels = tuple(k for k in rows if k not in own)
        take = np.array([rows[k] for k in labels], dtype=np.intp)
        return _Plan(
            found.series,
            every,
            stamped,
            labels,
            self._appender.layout((*labels, *self._report)),
            None if len(take) == len(found.series) else take,
            np.array(list(own.values()), dtype=np.intp),
            self._appender.series(tuple(own)) if own else np.empty(0, dtype=np.int64),
            rejected,
        )

    def _all_labels(self, found: Exposition) -> list[Labels | str]:
        """Return the labels of each series; those that the plan has are not made again."""
        known: dict[bytes, Labels | str] = {}
        shared: Pairs = {}
        if self._plan is not None:
            known = dict(zip(self._plan.series, self._plan.made, strict=True))
            shared = {pair: pair for labels in self._plan.labels for pair in labels}
        every = []
        for text in found.series:
            made = known.get(text)
            if made is None:
                made = known[text] = self._labels(text, shared)
            every.append(made)
        return every

    def _labels(self, text: bytes, shared: Pairs) -> Labels | str:
        """Return the labels of a series as stored; a word if there is no such series, "" if it was dropped."""
        pairs = parse_series(text)
        if pairs is None:
            return "bad_labels"
        job = self._target.job
        merged = merge_labels(dict(pairs), self._target.labels, honor_labels=job.honor_labels)
        final = relabel(merged, job.metric_relabel_rules) if job.metric_relabel_rules else merged
        if final is None:
            return ""
        if not final.get(METRIC_NAME):
            return "no_name"
        _check_limits(final, job)
        labels = Labels.of(final)
        # pairs that many series have in common are one object
        return Labels(shared.setdefault(pair, pair) for pair in labels)

    def _stamped(self, ts_ms: Ints | None) -> Bools | None:
        if ts_ms is None or not self._target.job.honor_timestamps:
            return None
        stamped: Bools = np.not_equal(ts_ms, NO_TIMESTAMP)
        return stamped

    def _stale(self, labels: tuple[Labels, ...], at_ms: int) -> None:
        refs = self._appender.series(labels)
        times = np.full(len(labels), at_ms, dtype=np.int64)
        self._appender.append_samples(refs, times, stale_markers(len(labels)))


def merge_labels(own: dict[str, str], target: Labels, *, honor_labels: bool) -> dict[str, str]:
    """Join a series' own labels and its target's; prometheus scrape/target.go, mutateSampleLabels.

    With ``honor_labels`` the series' own label wins, also an empty one; without, it becomes
    ``exported_<name>``.
    """
    if honor_labels:
        return {**target.asdict(), **own}
    merged = dict(own)
    for name, value in target:
        existing = own.get(name)
        merged[name] = value
        if existing:
            other = f"exported_{name}"
            while other in merged or target.get(other):
                other = f"exported_{other}"
            merged[other] = existing
    return merged


def _check_limits(labels: Mapping[str, str], job: ScrapeJob) -> None:
    if job.label_limit and len(labels) > job.label_limit:
        raise FetchError(
            "label_limit", f"a series has {len(labels)} labels, label_limit is {job.label_limit}"
        )
    longest = job.label_name_length_limit
    if longest and any(len(name.encode()) > longest for name in labels):
        raise FetchError("label_limit", f"a label name is longer than {longest} bytes")
    longest = job.label_value_length_limit
    if longest and any(len(value.encode()) > longest for value in labels.values()):
        raise FetchError("label_limit", f"a label value is longer than {longest} bytes")


def _equal(one: Bools | None, other: Bools | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
