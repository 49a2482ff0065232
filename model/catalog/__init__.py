"""Every metric Taskscope emits, plots or alerts on: name, type, unit, help, labels.

One module per area lists its metrics; ``CATALOG`` is their union by name. Collectors take their
help texts from here, dashboards and shipped rules are checked against it, docs are made of it.
"""

from typing import Final

from model.catalog import (
    alerting,
    container,
    healthcheck,
    logdb,
    logship,
    node,
    remote,
    scrape,
    self_,
    storage,
    task,
    web,
)
from model.catalog.metric import Metric

__all__ = ["CATALOG", "Metric", "declared"]

_AREAS = (
    task, container, node, scrape, healthcheck, logship, storage, logdb, remote, alerting, web,
    self_,
)  # fmt: skip

CATALOG: Final[dict[str, Metric]] = {m.name: m for area in _AREAS for m in area.METRICS}


def declared(name: str) -> tuple[str, str, tuple[str, ...]]:
    """Return a metric's name, help and labels, as prometheus_client's classes take them.

    Raises:
        KeyError: If the catalog does not have it.
    """
    metric = CATALOG[name]
    return metric.name, metric.help, metric.labels
