"""What remote write out says of itself, under Prometheus's names behind our prefix."""

from collections.abc import Sequence
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.catalog import declared
from storage.remote.out.format import Counts

_PREFIX = "taskscope_remote_storage_"


_KINDS = Counts._fields


class OutMetrics:
    """Of all endpoints; what is counted by kind is a list in the order of ``Counts``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str) -> Counter:
            return Counter(*declared(_PREFIX + name), registry=registry)

        def gauge(name: str) -> Gauge:
            return Gauge(*declared(_PREFIX + name), registry=registry)

        self.sent = [counter(f"{kind}_total") for kind in _KINDS]
        self.failed = [counter(f"{kind}_failed_total") for kind in _KINDS]
        self.retried = [counter(f"{kind}_retried_total") for kind in _KINDS]
        self.dropped = [counter(f"{kind}_dropped_total") for kind in _KINDS[:3]]
        self.pending = [gauge(f"{kind}_pending") for kind in _KINDS[:3]]
        self.bytes = counter("bytes_total")
        self.lost = counter("segments_lost_total")
        self.shards = gauge("shards")
        self.desired_shards = gauge("shards_desired")
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
        self._name, self._url = name, url
        self._sent = [one.labels(name, url) for one in out.sent]
        self._retried = [one.labels(name, url) for one in out.retried]
        self._pending = [one.labels(name, url) for one in out.pending]
        self._failed = out.failed
        self._dropped = out.dropped
        self.bytes = out.bytes.labels(name, url)
        self.lost = out.lost.labels(name, url)
        self.shards = out.shards.labels(name, url)
        self.desired_shards = out.desired_shards.labels(name, url)
        self.highest = out.highest.labels(name, url)
        self.duration = out.duration.labels(name, url)
        self._highest_sent = out.highest_sent.labels(name, url)
        self._newest = 0
        self._lock = Lock()

    def sent(self, counts: Counts) -> None:
        """Say what the far side has taken."""
        _add(self._sent, counts)

    def retried(self, counts: Counts) -> None:
        """Say what is sent again."""
        _add(self._retried, counts)

    def failed(self, counts: Counts, reason: str) -> None:
        """Say what is given up."""
        _add([one.labels(self._name, self._url, reason) for one in self._failed], counts)

    def dropped(self, counts: Counts, reason: str) -> None:
        """Say what is not sent at all."""
        _add([one.labels(self._name, self._url, reason) for one in self._dropped], counts)

    def waiting(self, counts: Counts) -> None:
        """Say what waits in a shard now."""
        _add(self._pending, counts)

    def taken(self, counts: Counts) -> None:
        """Say what does not wait any more."""
        for gauge, number in zip(self._pending, counts, strict=False):
            gauge.dec(number)

    def sent_until(self, ts_ms: int) -> None:
        """Say how new the newest sample is that has been taken."""
        with self._lock:
            if ts_ms > self._newest:
                self._newest = ts_ms
                self._highest_sent.set(ts_ms / 1000)


def _add(metrics: Sequence[Counter | Gauge], counts: Counts) -> None:
    for metric, number in zip(metrics, counts, strict=False):
        if number:
            metric.inc(number)
