"""Discovery's own metrics; names as in model/catalog/scrape.py."""

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from discovery.source import RuntimeSource
from model.catalog import CATALOG
from model.task import TaskState


class DiscoveryMetrics(Collector):
    """Tells of the sources what they say of themselves, at the time of the scrape."""

    def __init__(self, registry: CollectorRegistry, sources: tuple[RuntimeSource, ...]) -> None:
        self._sources = sources
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Name the metrics without asking the sources."""
        return list(self._families())

    def collect(self) -> list[Metric]:
        """Return the metrics now."""
        tasks, up, failures = self._families()
        for source in self._sources:
            status = source.status()
            for state in TaskState:
                count = status.counts.get(state.value, 0)
                tasks.add_metric([source.name, state.value], count)
            up.add_metric([source.name], float(status.ok))
            failures.add_metric([source.name], status.failures)
        return [tasks, up, failures]

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily]:
        tasks = CATALOG["taskscope_discovery_tasks"]
        up = CATALOG["taskscope_discovery_up"]
        failures = CATALOG["taskscope_discovery_failures_total"]
        return (
            GaugeMetricFamily(tasks.name, tasks.help, labels=tasks.labels),
            GaugeMetricFamily(up.name, up.help, labels=up.labels),
            CounterMetricFamily(failures.name, failures.help, labels=failures.labels),
        )
