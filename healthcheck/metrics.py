"""Health checking's own metrics; names as in model/catalog/healthcheck.py."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import CATALOG


class HealthcheckMetrics:
    """Counts of the prober itself; the results of checks are series, see ``healthcheck.series``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.probes = _counter("taskscope_healthcheck_probes_total", registry)
        self.errors = _counter("taskscope_healthcheck_probe_errors_total", registry)
        self.checks = _gauge("taskscope_healthcheck_checks", registry)
        self.bad_labels = _gauge("taskscope_healthcheck_bad_labels", registry)
        self.late_seconds = _gauge("taskscope_healthcheck_late_seconds", registry)


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    metric = CATALOG[name]
    return Counter(name, metric.help, metric.labels, registry=registry)


def _gauge(name: str, registry: CollectorRegistry) -> Gauge:
    metric = CATALOG[name]
    return Gauge(name, metric.help, metric.labels, registry=registry)
