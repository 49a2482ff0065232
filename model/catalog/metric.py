"""What the catalog says of one metric."""

from typing import Literal

from msgspec import Struct

MetricType = Literal["counter", "gauge", "histogram", "summary", "info", "stateset"]


class Metric(Struct, frozen=True):
    """One metric.

    Attributes:
        name: As exposed (counters end in ``_total``; histograms are named without ``_bucket``).
        type: OpenMetrics type.
        unit: ``seconds``, ``bytes``, ``ratio``, ... or "" where it is a count.
        help: One sentence.
        labels: Names of its own labels; the task's identity labels are not listed.
        per_task: Whether its series carry the identity labels.
    """

    name: str
    type: MetricType
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    per_task: bool = False
