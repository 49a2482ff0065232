"""A program that is measured by the OpenTelemetry SDK; ``test_sdk`` runs it. Arguments: endpoint, temporality."""

import sys
from typing import Any


def main(endpoint: str, temporality: str) -> None:
    """Record some measurements and export them twice."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # type: ignore[import-not-found,unused-ignore]  # not in every environment
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import (  # type: ignore[import-not-found,unused-ignore]  # likewise
        Counter,
        Histogram,
        MeterProvider,
    )
    from opentelemetry.sdk.metrics.export import (  # type: ignore[import-not-found,unused-ignore]  # likewise
        AggregationTemporality,
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.metrics.view import (  # type: ignore[import-not-found,unused-ignore]  # likewise
        ExponentialBucketHistogramAggregation,
        View,
    )
    from opentelemetry.sdk.resources import (  # type: ignore[import-not-found,unused-ignore]  # likewise
        Resource,
    )

    preferred: dict[Any, Any] = {}
    if temporality == "delta":
        preferred = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
    exporter = OTLPMetricExporter(endpoint=endpoint, preferred_temporality=preferred)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e9)
    provider = MeterProvider(
        [reader],
        resource=Resource.create(
            {"service.name": "shop", "service.instance.id": temporality, "host.name": "node-1"}
        ),
        views=[View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())],
    )
    meter = provider.get_meter("test")
    orders = meter.create_counter("orders", unit="{order}", description="Orders taken.")
    latency = meter.create_histogram("latency", unit="s")
    size = meter.create_histogram("size", unit="By")
    depth = meter.create_up_down_counter("queue.depth")
    for _ in range(2):
        orders.add(5, {"kind": "a"})
        orders.add(1, {"kind": "b"})
        depth.add(2)
        for value in (0.003, 0.2, 7.0):
            latency.record(value)
            size.record(value * 1000)
        if not reader.force_flush():
            raise SystemExit("not exported")
    provider.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
