"""What the collector says of itself; names and help texts are the catalog's."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import CATALOG


def counter(name: str, registry: CollectorRegistry) -> Counter:
    """Make a catalogued counter."""
    metric = CATALOG[name]
    return Counter(name, metric.help, metric.labels, registry=registry)


def gauge(name: str, registry: CollectorRegistry) -> Gauge:
    """Make a catalogued gauge."""
    metric = CATALOG[name]
    return Gauge(name, metric.help, metric.labels, registry=registry)


_PREFIX: Final = "taskscope_collector_"


class CollectorMetrics:
    """Self metrics of collection; those of scraping are in ``ScrapeMetrics``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unidentified_containers = gauge(f"{_PREFIX}unidentified_containers", registry)
        self.duration = gauge(f"{_PREFIX}duration_seconds", registry)
        self.cpu = counter(f"{_PREFIX}cpu_seconds_total", registry)
        self.series = gauge(f"{_PREFIX}series", registry)
        self.samples = counter(f"{_PREFIX}samples_total", registry)
        self.errors = counter(f"{_PREFIX}errors_total", registry)
        self.missed = counter(f"{_PREFIX}missed_total", registry)
        self.append_failures = counter(f"{_PREFIX}append_failures_total", registry)


class ScrapeMetrics:
    """Self metrics of scraping applications' endpoints."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.targets = gauge(f"{_PREFIX}targets", registry)
        self.targets_dropped = gauge(f"{_PREFIX}targets_dropped", registry)
        self.failures = counter(f"{_PREFIX}scrape_failures_total", registry)
        self.rejected = counter(f"{_PREFIX}scrape_samples_rejected_total", registry)
        self.cpu = counter(f"{_PREFIX}scrape_cpu_seconds_total", registry)
