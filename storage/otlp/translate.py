"""From OTLP's data points to rows of series, as Prometheus's receiver translates them."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct, field

from model.labels import Labels
from model.samples import STALE, Exemplar
from storage.interface import Metadata
from storage.otlp.delta import DeltaSums, LateDeltaError
from storage.otlp.histograms import Explicit, Exponential, explicit_of, exponential_of
from storage.otlp.labels import Resource, exemplar_of, labels_of, resource_of
from storage.otlp.messages import DELTA
from storage.otlp.names import metric_name, unit_words

_NO_RECORDED_VALUE: Final = 1
_NS: Final = 1_000_000
_INFO_STEP_MS: Final = 150_000  # half the lookback, so that target_info is always found
_MAX_INFOS: Final = 1_000

Value = float | np.float64 | Exponential
_STALE: Final[np.float64] = STALE[0]


class Row(Struct, frozen=True):
    """One sample."""

    labels: Labels
    ts_ms: int
    start_ms: int
    value: Value


class Translated(Struct):
    """What a request holds.

    Attributes:
        rows: The samples.
        exemplars: With the labels of their series.
        metadata: By metric family.
        points: Data points by type.
        rejected: Data points that were left out ...
        reasons: ... and why.
    """

    rows: list[Row] = field(default_factory=list)
    exemplars: list[tuple[Labels, Exemplar]] = field(default_factory=list)
    metadata: dict[str, Metadata] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)


class Translator:
    """Translates requests; for one thread at a time.

    Args:
        sums: Remembers delta streams from request to request.
    """

    def __init__(self, sums: DeltaSums) -> None:
        self._sums = sums

    def translate(self, request: dict[str, Any]) -> Translated:
        """Return what a request holds; points that are wrong are left out, and said."""
        found = Translated()
        for part in request.get("resource_metrics", ()):
            resource = resource_of(part.get("resource", {}).get("attributes", ()))
            before = len(found.rows)
            for scope in part.get("scope_metrics", ()):
                for metric in scope.get("metrics", ()):
                    self.metric(metric, resource, found)
            tell_target(resource, found, [row.ts_ms for row in found.rows[before:]])
        return found

    def metric(self, metric: dict[str, Any], resource: Resource, found: Translated) -> None:
        """Translate the points of one metric of a resource."""
        kind = next((name for name in TYPES if name in metric), "")
        data = metric.get(kind, {})
        points = data.get("data_points", ())
        name, metadata = described(metric, kind)
        if not name:
            _reject(found, len(points), f"the metric {metric.get('name', '')!r} has no usable name")
            return
        found.metadata[name] = metadata
        delta = data.get("aggregation_temporality") == DELTA
        add: Callable[[_Point, dict[str, Any]], None] = {
            "gauge": self._number,
            "sum": self._number,
            "histogram": self._explicit,
            "exponential_histogram": self._exponential,
            "summary": self._summary,
        }.get(kind, self._number)
        for data_point in points:
            labels = {**resource.labels, **labels_of(data_point.get("attributes", ()))}
            where = _Point(
                found,
                name,
                {**labels, **resource.fixed},
                data_point.get("time_unix_nano", 0) // _NS,
                data_point.get("start_time_unix_nano", 0) // _NS if kind != "gauge" else 0,
                bool(data_point.get("flags", 0) & _NO_RECORDED_VALUE),
                delta,
            )
            try:
                add(where, data_point)
            except LateDeltaError as error:
                _reject(found, 1, f"{name}: {error}")
            except (ValueError, OverflowError) as error:
                _reject(found, 1, f"{name}: {error}")
            else:
                found.points[kind] = found.points.get(kind, 0) + 1

    def _number(self, at: "_Point", data: dict[str, Any]) -> None:
        value = float(data.get("as_double", data.get("as_int", 0)))
        labels = at.series(at.name)
        if at.delta and not at.gone:
            at.start_ms, value = self._sums.add(labels, at.start_ms, at.ts_ms, value)
        at.put(labels, value)
        at.exemplars(labels, data)

    def _explicit(self, at: "_Point", data: dict[str, Any]) -> None:
        held = explicit_of(data)
        if at.delta and not at.gone:
            at.start_ms, held = self._sums.add(at.series(at.name), at.start_ms, at.ts_ms, held)
        _classic(at, held, data)

    def _exponential(self, at: "_Point", data: dict[str, Any]) -> None:
        labels = at.series(at.name)
        held = exponential_of(data)
        if at.delta and not at.gone:
            at.start_ms, held = self._sums.add(labels, at.start_ms, at.ts_ms, held)
        at.put(labels, held)
        at.exemplars(labels, data)

    def _summary(self, at: "_Point", data: dict[str, Any]) -> None:
        at.put(at.series(f"{at.name}_sum"), float(data.get("sum", 0.0)))
        at.put(at.series(f"{at.name}_count"), float(data.get("count", 0)))
        for one in data.get("quantile_values", ()):
            labels = at.series(at.name, quantile=bound_text(one.get("quantile", 0.0)))
            at.put(labels, float(one.get("value", 0.0)))


class _Point(Struct):
    """Where a data point's samples go, and what they have in common."""

    found: Translated
    name: str
    labels: dict[str, str]
    ts_ms: int
    start_ms: int
    gone: bool
    delta: bool

    def series(self, name: str, **more: str) -> Labels:
        return Labels.of({**self.labels, **more, "__name__": name})

    def put(self, labels: Labels, value: Value) -> None:
        held = _STALE if self.gone else value
        self.found.rows.append(Row(labels, self.ts_ms, self.start_ms, held))

    def exemplars(self, labels: Labels, data: dict[str, Any]) -> None:
        self.found.exemplars.extend((labels, exemplar_of(one)) for one in data.get("exemplars", ()))


TYPES: Final = {
    "gauge": "gauge",
    "sum": "counter",
    "histogram": "histogram",
    "exponential_histogram": "histogram",
    "summary": "summary",
}


def described(metric: dict[str, Any], kind: str) -> tuple[str, Metadata]:
    """Return a metric's name in Prometheus's words, "" if nothing is left of it, and what is said of it."""
    type_ = TYPES.get(kind, "")
    if kind == "sum" and not metric.get(kind, {}).get("is_monotonic", False):
        type_ = "gauge"
    unit = metric.get("unit", "")
    name = metric_name(metric.get("name", ""), unit, _suffix(kind, type_))
    about = Metadata(type_, metric.get("description", ""), "_".join(unit_words(unit)))
    return name if name.strip("_") else "", about


def _suffix(kind: str, type_: str) -> str:
    """Return the type that decides a name's suffix; an up-down counter has none."""
    return "other" if kind == "sum" and type_ == "gauge" else type_


def _classic(at: _Point, held: Explicit, data: dict[str, Any]) -> None:
    """Write a histogram as the series of a classic one."""
    if held.sum is not None:
        at.put(at.series(f"{at.name}_sum"), held.sum)
    at.put(at.series(f"{at.name}_count"), held.count)
    waiting = sorted((exemplar_of(one) for one in data.get("exemplars", ())), key=lambda e: e.value)
    total = 0.0
    for bound, count in zip((*held.bounds, float("inf")), held.counts, strict=True):
        total += count
        last = bound == float("inf")
        labels = at.series(f"{at.name}_bucket", le=bound_text(bound))
        at.put(labels, held.count if last else total)
        while waiting and waiting[0].value <= bound:
            at.found.exemplars.append((labels, waiting.pop(0)))
    if held.bounds[-1:] == (float("inf"),):
        at.found.rows.pop()  # the bound +Inf was among the sender's own


def tell_target(resource: Resource, found: Translated, times: Sequence[int]) -> None:
    """Say what is known of a resource, from the first of its samples' times to the last."""
    if resource.info is None or not times:
        return
    low, high = min(times), max(times)
    low = max(low, high - _INFO_STEP_MS * _MAX_INFOS)
    for ts_ms in (*range(low, high, _INFO_STEP_MS), high):
        found.rows.append(Row(resource.info, ts_ms, 0, 1.0))
    found.metadata["target_info"] = Metadata("gauge", "Target metadata", "")


def _reject(found: Translated, points: int, reason: str) -> None:
    found.rejected += points
    found.reasons.append(reason)


def bound_text(value: float) -> str:
    """Return a bound as Go prints it: never with an exponent."""
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = np.format_float_positional(value, trim="-")
    return text.removesuffix(".")
