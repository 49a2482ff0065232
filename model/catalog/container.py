"""Metrics of containers, under cAdvisor's names."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = ()
