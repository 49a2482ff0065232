"""Health checking's own metrics; names as in model/catalog/healthcheck.py."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import declared


class HealthcheckMetrics:
    """Counts of the prober itself; the results of checks are series, see ``healthcheck.series``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str) -> Counter:
            return Counter(*declared(f"taskscope_healthcheck_{name}"), registry=registry)

        def gauge(name: str) -> Gauge:
            return Gauge(*declared(f"taskscope_healthcheck_{name}"), registry=registry)

        self.probes = counter("probes_total")
        self.errors = counter("probe_errors_total")
        self.checks = gauge("checks")
        self.bad_labels = gauge("bad_labels")
        self.late_seconds = gauge("late_seconds")
