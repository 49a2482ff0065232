"""What the engine says of itself is what the catalog lists."""

from prometheus_client import CollectorRegistry

from alerting.metrics import AlertingMetrics
from model.catalog import alerting


def test_every_catalogued_metric_is_emitted() -> None:
    """But for ALERTS and ALERTS_FOR_STATE, which rules write to the store."""
    registry = CollectorRegistry()
    AlertingMetrics(registry)
    emitted = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
    }

    assert emitted == {m.name for m in alerting.METRICS} - {"ALERTS", "ALERTS_FOR_STATE"}
