"""What log shipping counts of itself; names as in ``model.catalog.logship``."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import declared


class LogshipMetrics:
    """One set of counters in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str) -> Counter:
            return Counter(*declared(f"taskscope_logship_{name}_total"), registry=registry)

        def gauge(name: str) -> Gauge:
            return Gauge(*declared(f"taskscope_logship_{name}"), registry=registry)

        self.received = counter("received_records")
        self.sent = counter("sent_records")
        self.dropped = counter("dropped_records")
        self.errors = counter("errors")
        self.redactions = counter("redactions")
        self.marked = counter("marked_records")
        self.abandoned_bytes = counter("abandoned_bytes")
        self.truncated_files = counter("truncated_files")
        self.damaged = counter("spool_damaged_records")
        self.metric_failures = counter("metric_failures")
        self.sink_up = gauge("sink_up")
        self.buffer_bytes = gauge("buffer_bytes")
        self.open_files = gauge("open_files")
        self.request_bytes = gauge("request_bytes")
        self.parallel = gauge("requests_in_flight_limit")
