"""Names as Prometheus translates them."""

import pytest

from storage.otlp.names import label_name, metric_name


@pytest.mark.parametrize(
    ("name", "unit", "kind", "want"),
    [
        ("http.server.duration", "s", "histogram", "http_server_duration_seconds"),
        ("requests", "1", "counter", "requests_total"),
        ("requests_total", "", "counter", "requests_total"),
        ("total.requests", "", "counter", "requests_total"),
        ("usage", "1", "gauge", "usage_ratio"),
        ("disk.io", "By", "counter", "disk_io_bytes_total"),
        ("disk.io.bytes", "By", "counter", "disk_io_bytes_total"),
        ("net.rate", "KiBy/s", "gauge", "net_rate_kibibytes_per_second"),
        ("calls", "{call}", "counter", "calls_total"),
        ("calls", "{call}/min", "gauge", "calls_per_min"),
        ("calls", "/s", "gauge", "calls_per_second"),
        ("4xx", "", "gauge", "_4xx"),
        ("a..b__c", "", "gauge", "a_b_c"),
        ("temp", "°C", "gauge", "temp_C"),
        ("fill", "%", "gauge", "fill_percent"),
        ("...", "", "gauge", ""),
        ("rule:x", "", "gauge", "rule:x"),
    ],
)
def test_metric_names(name: str, unit: str, kind: str, want: str) -> None:
    """Units and types are suffixes, each once."""
    assert metric_name(name, unit, kind) == want


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("http.method", "http_method"),
        ("4xx", "key_4xx"),
        ("_private", "key_private"),
        ("__reserved__", "__reserved__"),
        ("a..b", "a__b"),
        ("größe", "gr__e"),
        ("..", ""),
        ("", ""),
    ],
)
def test_label_names(name: str, want: str) -> None:
    """What is no letter, digit or underscore becomes one."""
    assert label_name(name) == want
