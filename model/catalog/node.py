"""Metrics of the host, under node_exporter's names."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = ()
