"""What the collector says of itself; names and help texts are the catalog's."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import declared

_PREFIX: Final = "taskscope_collector_"


class CollectorMetrics:
    """Self metrics of collection; those of scraping are in ``ScrapeMetrics``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unidentified_containers = _gauge("unidentified_containers", registry)
        self.duration = _gauge("duration_seconds", registry)
        self.cpu = _counter("cpu_seconds_total", registry)
        self.series = _gauge("series", registry)
        self.samples = _counter("samples_total", registry)
        self.errors = _counter("errors_total", registry)
        self.missed = _counter("missed_total", registry)
        self.append_failures = _counter("append_failures_total", registry)


class ScrapeMetrics:
    """Self metrics of scraping applications' endpoints."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.targets = _gauge("targets", registry)
        self.targets_dropped = _gauge("targets_dropped", registry)
        self.failures = _counter("scrape_failures_total", registry)
        self.rejected = _counter("scrape_samples_rejected_total", registry)
        self.cpu = _counter("scrape_cpu_seconds_total", registry)


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    return Counter(*declared(_PREFIX + name), registry=registry)


def _gauge(name: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(*declared(_PREFIX + name), registry=registry)
