"""What is remembered of resources, metrics and points, so that each is translated once.

A point is known by its bytes behind the numbers: attributes, and a histogram's bounds. Numbers of
series are our own and lead into one list of labels.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from model.labels import Labels
from storage.interface import Metadata
from storage.otlp.histograms import explicit_of
from storage.otlp.labels import Resource, labels_of, resource_of
from storage.otlp.messages import DELTA, METRIC, RESOURCE, Field, decode_protobuf
from storage.otlp.translate import bound_text, described
from storage.remote.wire import WireError, read_delimited, read_varint

_ATTRIBUTES: Final = {"gauge": 0x3A, "sum": 0x3A, "histogram": 0x4A}
_BOUNDS: Final = 0x3A
_INF: Final = float("inf")


class KnownPoint(Struct, frozen=True):
    """A histogram's series: sum (if it has one), count and buckets are numbered one after the other."""

    first: int
    buckets: int
    has_sum: bool


class KnownMetric(Struct):
    """One metric of one resource.

    Attributes:
        head: Its fields without the points, as a dict.
        kind: Which of OpenTelemetry's it is.
        tail: The bytes behind its points.
        name: In Prometheus's words; "" if nothing is left of it.
        usual: Whether its points can be read as columns.
        points: Number of the series by a point's bytes behind its numbers, -1 where it is not usual.
        histograms: Likewise.
    """

    head: dict[str, Any]
    kind: str
    tail: bytes
    name: str
    usual: bool
    points: dict[bytes, int] = field(default_factory=dict)
    histograms: dict[bytes, KnownPoint | None] = field(default_factory=dict)

    @property
    def message(self) -> Mapping[int, Field]:
        """The fields of its points."""
        data = next(one for one in METRIC.values() if one.name == self.kind).message or {}
        return data[1].message or {}


class KnownResource(Struct):
    """One resource, its metrics by their bytes before the points, and labels by a point's bytes."""

    resource: Resource
    metrics: dict[bytes, KnownMetric] = field(default_factory=dict)
    labels: dict[bytes, dict[str, str]] = field(default_factory=dict)


class Known:
    """Everything that is remembered; for one thread at a time.

    Attributes:
        labels: Labels by number.
        resources: By their bytes.
        metadata: Of families that were met since this was last taken.
    """

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self.resources: dict[bytes, KnownResource] = {}
        self.metadata: dict[str, Metadata] = {}

    def forget(self) -> None:
        """Begin anew."""
        self.labels, self.resources = [], {}

    def resource(self, raw: bytes) -> KnownResource:
        """Return a resource.

        Raises:
            WireError: If it is none.
        """
        found = self.resources.get(raw)
        if found is None:
            attributes = decode_protobuf(raw, RESOURCE).get("attributes", ())
            found = self.resources[raw] = KnownResource(resource_of(attributes))
        return found

    def metric(self, owner: KnownResource, head: bytes, tail: bytes) -> KnownMetric:
        """Learn a metric; ``head`` ends with the tag of its data.

        Raises:
            WireError: If it is none.
        """
        fields = decode_protobuf(head[:-1], METRIC)
        about = METRIC[head[-1] >> 3]
        data = decode_protobuf(tail, about.message or {})
        fields[about.name] = data
        name, metadata = described(fields, about.name)
        if name:
            self.metadata[name] = metadata
        usual = (
            bool(name)
            and about.name in _ATTRIBUTES
            and data.get("aggregation_temporality") != DELTA
        )
        made = owner.metrics[head] = KnownMetric(fields, about.name, tail, name, usual)
        return made

    def point(self, owner: KnownResource, metric: KnownMetric, rest: bytes) -> int:
        """Learn a number's series; -1 if there is more than attributes in it."""
        number = -1
        if _only(rest, (_ATTRIBUTES[metric.kind],)):
            number = len(self.labels)
            self.labels.append(Labels.of(self._pairs(owner, metric, rest)))
        metric.points[rest] = number
        return number

    def histogram(
        self, owner: KnownResource, metric: KnownMetric, rest: bytes, counts: int, *, has_sum: bool
    ) -> KnownPoint | None:
        """Learn a histogram's series; None if it is not usual."""
        if not _only(rest, (_BOUNDS, _ATTRIBUTES[metric.kind])):
            metric.histograms[rest] = None
            return None
        try:
            zeros = [0] * counts
            held = explicit_of({**decode_protobuf(rest, metric.message), "bucket_counts": zeros})
        except ValueError:
            return None  # the counts do not fit; the next ones may
        if not counts or held.bounds[-1:] == (_INF,):
            return None
        found = metric.histograms[rest] = KnownPoint(len(self.labels), counts, has_sum)
        pairs = self._pairs(owner, metric, rest)
        names = [f"{metric.name}_sum"] * has_sum + [f"{metric.name}_count"]
        self.labels += [Labels.of({**pairs, "__name__": name}) for name in names]
        name = f"{metric.name}_bucket"
        self.labels += [
            Labels.of({**pairs, "le": bound_text(bound), "__name__": name})
            for bound in (*held.bounds, _INF)
        ]
        return found

    def _pairs(self, owner: KnownResource, metric: KnownMetric, rest: bytes) -> dict[str, str]:
        found = owner.labels.get(rest)
        if found is None:  # else another metric of the resource has points of the same name
            attributes = decode_protobuf(rest, metric.message).get("attributes", ())
            resource = owner.resource
            found = {**resource.labels, **labels_of(attributes), **resource.fixed}
            owner.labels[rest] = found
        return {**found, "__name__": metric.name}


def _only(data: bytes, tags: tuple[int, ...]) -> bool:
    """Tell whether a message has no other fields than some that are length-delimited."""
    at = 0
    try:
        while at < len(data):
            tag, at = read_varint(data, at)
            if tag not in tags:
                return False
            at = read_delimited(data, at, len(data))[1]
    except WireError:
        return False
    return True
