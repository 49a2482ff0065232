"""The catalog is complete and each name stands once."""

from model.catalog import _AREAS, CATALOG

# Counters whose borrowed names (cAdvisor, node_exporter) lack the suffix.
BORROWED = {"container_memory_failcnt", "node_vmstat_oom_kill"}


def test_every_name_stands_once() -> None:
    """No two areas list the same metric."""
    names = [metric.name for area in _AREAS for metric in area.METRICS]

    assert sorted(names) == sorted(CATALOG)


def test_counters_end_in_total() -> None:
    """Counters are named as OpenMetrics wants them."""
    bad = [
        m.name
        for m in CATALOG.values()
        if m.type == "counter" and not m.name.endswith("_total") and m.name not in BORROWED
    ]

    assert bad == []
