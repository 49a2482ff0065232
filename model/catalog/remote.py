"""Metrics of remote write out (Prometheus's names behind our prefix), remote read and OTLP."""

from typing import Final

from model.catalog.metric import Metric

_QUEUE: Final = ("remote_name", "url")
_P: Final = "taskscope_remote_storage_"


def _kind(kind: str, words: str) -> tuple[Metric, ...]:
    """Return the metrics that each kind of data has."""
    metrics = [
        Metric(_P + kind + "_total", "counter", "", f"{words} that a remote store has taken.", _QUEUE),
        Metric(
            _P + kind + "_failed_total", "counter", "",
            f"{words} that a remote store has refused for good, by reason.", (*_QUEUE, "reason"),
        ),
        Metric(
            _P + kind + "_retried_total", "counter", "",
            f"{words} that were sent again, as the remote store could not take them.", _QUEUE,
        ),
    ]  # fmt: skip
    if kind != "metadata":
        metrics += [
            Metric(
                _P + kind + "_dropped_total", "counter", "",
                f"{words} that were not to be sent or cannot be, by reason.", (*_QUEUE, "reason"),
            ),
            Metric(_P + kind + "_pending", "gauge", "", f"{words} that wait in the shards.", _QUEUE),
        ]  # fmt: skip
    return tuple(metrics)


METRICS: Final[tuple[Metric, ...]] = (
    *_kind("samples", "Floats"),
    *_kind("histograms", "Native histograms"),
    *_kind("exemplars", "Exemplars"),
    *_kind("metadata", "Metric families' metadata (1.0; 2.0 has them in each series)"),
    Metric(
        _P + "bytes_total", "counter", "bytes", "Bytes of samples sent, before compression.", _QUEUE
    ),
    Metric(
        _P + "segments_lost_total",
        "counter",
        "",
        "Segments of the write-ahead log that were gone before they could be sent.",
        _QUEUE,
    ),
    Metric(_P + "shards", "gauge", "", "Connections that send at the same time.", _QUEUE),
    Metric(
        _P + "shards_desired",
        "gauge",
        "",
        "Connections that the load of the last minutes asks for.",
        _QUEUE,
    ),
    Metric(
        _P + "queue_highest_timestamp_seconds",
        "gauge",
        "seconds",
        "Time of the newest sample that was read from the write-ahead log.",
        _QUEUE,
    ),
    Metric(
        _P + "queue_highest_sent_timestamp_seconds",
        "gauge",
        "seconds",
        "Time of the newest sample that the remote store has taken.",
        _QUEUE,
    ),
    Metric(
        _P + "sent_batch_duration_seconds",
        "histogram",
        "seconds",
        "How long the remote store took for a request.",
        _QUEUE,
    ),
    Metric(
        "taskscope_otlp_received_points_total",
        "counter",
        "",
        "Data points taken in by OTLP, by type.",
        ("type",),
    ),
    Metric(
        "taskscope_otlp_rejected_points_total",
        "counter",
        "",
        "Data points of OTLP that were refused, by reason.",
        ("reason",),
    ),
    Metric(
        "taskscope_otlp_delta_streams",
        "gauge",
        "",
        "Streams of delta points whose sums are kept.",
    ),
)
