"""The functions of PromQL, cut by kind; importing the package fills ``table.FUNCTIONS``."""

from promql.functions import (
    absence,
    changes,
    histogram,
    info,
    labels,
    maths,
    ordering,
    over_time,
    quantiles,
    rate,
    scalars,
    time,
    trend,
)

__all__ = [
    "absence",
    "changes",
    "histogram",
    "info",
    "labels",
    "maths",
    "ordering",
    "over_time",
    "quantiles",
    "rate",
    "scalars",
    "time",
    "trend",
]
