"""What the row-wise evaluator works on: samples of series, and elements of vectors."""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from model.labels import METRIC_NAME, Labels, Matcher, MatchOp
from model.samples import is_stale
from promql.regex import compile_anchored
from tests.promql.columns import ColumnStore
from tests.promql.histograms import Hist

LOOKBACK_MS = 300_000

Points = list[tuple[int, float]]


class RowError(Exception):
    """The query cannot be evaluated."""


class Element(Struct, frozen=True):
    """One series of a vector at one step; ``unnamed`` if its name is to go in the end."""

    labels: Labels
    value: float
    unnamed: bool = False


class Window(Struct, frozen=True):
    """One series of a range vector at one step: the samples in (start, end]."""

    labels: Labels
    points: Points
    start_ms: int
    end_ms: int
    unnamed: bool = False


Vector = list[Element]


def hits(matcher: Matcher, labels: Labels) -> bool:
    """Tell whether a matcher lets a series pass."""
    value = labels.get(matcher.name)
    if matcher.op is MatchOp.EQUAL:
        return value == matcher.value
    if matcher.op is MatchOp.NOT_EQUAL:
        return value != matcher.value
    found = compile_anchored(matcher.value).fullmatch(value) is not None
    return found if matcher.op is MatchOp.REGEX else not found


def selected(
    store: ColumnStore, matchers: Iterable[Matcher]
) -> Iterable[tuple[Labels, Mapping[int, float]]]:
    """Yield the series that all matchers let pass, stale markers among their samples."""
    every = list(matchers)
    for labels in sorted(store.samples):
        if all(hits(matcher, labels) for matcher in every):
            samples = store.samples[labels]
            assert not any(isinstance(s.value, Hist) for s in samples.values())
            yield labels, {t: samples[t].value for t in sorted(samples)}  # type: ignore[misc]  # floats


def newest(samples: Mapping[int, float], at_ms: int) -> tuple[int, float] | None:
    """Return the newest sample that is not too old; none if it is a stale marker."""
    found = [(t, v) for t, v in samples.items() if at_ms - LOOKBACK_MS < t <= at_ms]
    return None if not found or stale(found[-1][1]) else found[-1]


def inside(samples: Mapping[int, float], start_ms: int, end_ms: int) -> Points:
    """Return the samples in (start, end] without stale markers."""
    return [(t, float(v)) for t, v in samples.items() if start_ms < t <= end_ms and not stale(v)]


def stale(value: float) -> bool:
    """Tell whether a sample is the stale marker."""
    import numpy as np

    return bool(is_stale(np.array([value], dtype=np.float64))[0])


def without_name(labels: Labels) -> Labels:
    """Return a label set without the metric name."""
    return Labels.of({k: v for k, v in labels if k != METRIC_NAME})


def only(labels: Labels, keep: Callable[[str], bool]) -> Labels:
    """Return the labels whose names are wanted."""
    return Labels.of({k: v for k, v in labels if keep(k)})
