"""What remote write out says of itself, under Prometheus's names behind our prefix."""

from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.catalog import declared

_PREFIX = "taskscope_remote_storage_"


class _Labelled:
    """A counter whose first labels are set."""

    def __init__(self, counter: Counter, name: str, url: str) -> None:
        self._counter, self._name, self._url = counter, name, url

    def labels(self, reason: str) -> Counter:
        """Return the counter of one reason."""
        return self._counter.labels(self._name, self._url, reason)


class OutMetrics:
    """Of all endpoints."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str) -> Counter:
            return Counter(*declared(_PREFIX + name), registry=registry)

        def gauge(name: str) -> Gauge:
            return Gauge(*declared(_PREFIX + name), registry=registry)

        self.sent = counter("samples_total")
        self.failed = counter("samples_failed_total")
        self.retried = counter("samples_retried_total")
        self.dropped = counter("samples_dropped_total")
        self.bytes = counter("bytes_total")
        self.lost = counter("segments_lost_total")
        self.pending = gauge("samples_pending")
        self.shards = gauge("shards")
        self.highest = gauge("queue_highest_timestamp_seconds")
        self.highest_sent = gauge("queue_highest_sent_timestamp_seconds")
        self.duration = Histogram(
            *declared(_PREFIX + "sent_batch_duration_seconds"), registry=registry
        )

    def of(self, name: str, url: str) -> "EndpointMetrics":
        """Return those of one endpoint."""
        return EndpointMetrics(self, name, url)


class EndpointMetrics:
    """Of one endpoint."""

    def __init__(self, out: OutMetrics, name: str, url: str) -> None:
        self.sent = out.sent.labels(name, url)
        self.failed = _Labelled(out.failed, name, url)
        self.retried = out.retried.labels(name, url)
        self.dropped = _Labelled(out.dropped, name, url)
        self.bytes = out.bytes.labels(name, url)
        self.lost = out.lost.labels(name, url)
        self.pending = out.pending.labels(name, url)
        self.shards = out.shards.labels(name, url)
        self.highest = out.highest.labels(name, url)
        self.duration = out.duration.labels(name, url)
        self._highest_sent = out.highest_sent.labels(name, url)
        self._newest = 0
        self._lock = Lock()

    def sent_until(self, ts_ms: int) -> None:
        """Say how new the newest sample is that has been taken."""
        with self._lock:
            if ts_ms > self._newest:
                self._newest = ts_ms
                self._highest_sent.set(ts_ms / 1000)
