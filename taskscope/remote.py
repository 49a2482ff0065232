"""From the sections ``remote_write`` and ``remote_read`` to what sends and reads."""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from collector.config import RelabelConfig
from collector.scrape.connection import tls_context
from collector.scrape.relabel import relabel
from model.labels import Labels
from storage.interface import Queryable
from storage.remote.client import RemoteWriteClient
from storage.remote.out.format_v1 import FormatV1
from storage.remote.out.format_v2 import FormatV2
from storage.remote.out.metrics import OutMetrics
from storage.remote.out.queue import RemoteWriteQueue
from storage.remote.out.router import Relabel
from storage.remote.out.shard import Pace
from storage.remote.reader import RemoteQueryable
from taskscope.remote_config import RemoteReadConfig, RemoteWriteConfig


def make_queues(
    sections: Sequence[RemoteWriteConfig],
    external_labels: dict[str, str],
    *,
    data: Path,
    base: Path,
    metadata: Queryable,
    registry: CollectorRegistry,
) -> list[RemoteWriteQueue]:
    """Return a queue for each section.

    Args:
        sections: What the operator wrote.
        external_labels: Added to every series that does not have them.
        data: The data folder; the store's log is in it.
        base: What relative files are meant from.
        metadata: Knows the metric families.
        registry: For self metrics.
    """
    if not sections:
        return []
    metrics = OutMetrics(registry)
    return [_queue(one, external_labels, data, base, metadata, metrics) for one in sections]


def _queue(
    one: RemoteWriteConfig,
    external_labels: dict[str, str],
    data: Path,
    base: Path,
    metadata: Queryable,
    metrics: OutMetrics,
) -> RemoteWriteQueue:
    queue, url = one.queue_config, one.url
    credentials = one.credentials(base)
    context = tls_context(one.tls_config.build(base)) if url.startswith("https:") else None

    def connect() -> RemoteWriteClient:
        return RemoteWriteClient(
            url,
            one.remote_timeout,
            credentials.header,
            context,
            one.headers,
            queue.retry_on_http_429,
            one.version,
        )

    return RemoteWriteQueue(
        data / "tsdb" / "wal",
        data / "remote_write" / f"{one.called()}.json",
        connect,
        metrics.of(one.called(), url),
        form=FormatV1() if one.version == 1 else FormatV2(),
        relabel=_relabel(one.write_relabel_configs, external_labels),
        metadata=metadata.metadata,
        pace=Pace(
            capacity=queue.capacity,
            max_samples_per_send=queue.max_samples_per_send,
            batch_send_deadline=queue.batch_send_deadline,
            min_backoff=queue.min_backoff,
            max_backoff=queue.max_backoff,
        ),
        min_shards=queue.min_shards,
        max_shards=queue.max_shards,
        metadata_seconds=(one.metadata_config.send_interval if one.metadata_config.send else 0.0),
        metadata_per_send=one.metadata_config.max_samples_per_send,
        send_exemplars=one.send_exemplars,
        send_histograms=one.send_native_histograms,
    )


def make_reader(one: RemoteReadConfig, base: Path) -> RemoteQueryable:
    """Return the store that queries are answered by; relative files are meant from ``base``."""
    context = tls_context(one.tls_config.build(base)) if one.url.startswith("https:") else None
    return RemoteQueryable(
        one.url, one.remote_timeout, one.credentials(base).header, context, one.headers
    )


def _relabel(steps: Sequence[RelabelConfig], external_labels: dict[str, str]) -> Relabel:
    """Return what becomes of a series: external labels first, then the steps, as Prometheus does."""
    rules = [step.rule() for step in steps]
    if not rules and not external_labels:
        return lambda labels: labels

    def change(labels: Labels) -> Labels | None:
        found = relabel({**external_labels, **dict(labels)}, rules)
        return Labels.of(found) if found else None

    return change
