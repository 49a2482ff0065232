"""What the series store says of itself."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.catalog import CATALOG

_COMMIT_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class TsdbMetrics:
    """Counters and gauges of one store; names and texts are the catalog's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        samples = Counter(
            *_named("taskscope_storage_samples_appended_total"), ("kind",), registry=registry
        )
        self.scraped = samples.labels("scrape")
        self.late = samples.labels("late")
        self.series = Gauge(*_named("taskscope_storage_series"), registry=registry)
        self.frames = Gauge(*_named("taskscope_storage_head_frames"), registry=registry)
        self.blocks = Gauge(*_named("taskscope_storage_blocks"), registry=registry)
        self.block_bytes = Gauge(*_named("taskscope_storage_block_bytes"), registry=registry)
        self.wal_size = Gauge(*_named("taskscope_storage_wal_size_bytes"), registry=registry)
        self.wal_bytes = Counter(
            *_named("taskscope_storage_wal_written_bytes_total"), registry=registry
        )
        self.commit_seconds = Histogram(
            *_named("taskscope_storage_commit_duration_seconds"),
            registry=registry,
            buckets=_COMMIT_BUCKETS,
        )
        self.failures = Counter(
            *_named("taskscope_storage_failures_total"), ("operation",), registry=registry
        )

        self.dropped = Counter(
            *_named("taskscope_storage_series_refused_total"), ("limit",), registry=registry
        )

    def failed(self, operation: str) -> None:
        """Count a failure."""
        self.failures.labels(operation).inc()

    def show(
        self, *, series: int, frames: int, blocks: int, block_bytes: int, wal_bytes: int
    ) -> None:
        """Set the gauges."""
        self.series.set(series)
        self.frames.set(frames)
        self.blocks.set(blocks)
        self.block_bytes.set(block_bytes)
        self.wal_size.set(wal_bytes)


def _named(name: str) -> tuple[str, str]:
    return name, CATALOG[name].help
