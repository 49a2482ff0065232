"""The real OpenTelemetry SDK and its OTLP exporter against a real server."""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.needs import leave_out
from tests.promql.served import Process

PROGRAM = Path(__file__).parent / "sdk_program.py"


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    """Give a fresh server."""
    if importlib.util.find_spec("opentelemetry") is None:
        leave_out("there is no opentelemetry-sdk with its OTLP exporter here")
    made = Process()
    made.fresh()
    yield made
    made.stop()


def ask(server: Process, query: str) -> list[Any]:
    """Return the result of an instant query."""
    status, body = server.query(query, time.time_ns() // 1_000_000)
    assert status == 200, body
    found: list[Any] = body["data"]["result"]
    return found


@pytest.mark.peer
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_what_the_sdk_exports_is_found(server: Process, temporality: str) -> None:
    """Counters, up-down counters, both kinds of histograms, target_info: the same by both temporalities."""
    url = f"{server.url}/api/v1/otlp/v1/metrics"
    command = [sys.executable, str(PROGRAM), url, temporality]
    subprocess.run(command, check=True, timeout=60)

    def value(query: str) -> float:
        (one,) = ask(server, query.replace("%", f'instance="{temporality}"'))
        return float(one["value"][1])

    assert value('orders_total{kind="a",%}') == 10
    assert value("sum(orders_total{%})") == 12
    assert value("queue_depth{%}") == 4
    assert value("latency_seconds_count{%}") == 6
    assert value('latency_seconds_bucket{le="5",%}') == 4
    assert value("histogram_count(size_bytes{%})") == 6
    assert value("histogram_sum(size_bytes{%})") == pytest.approx(14_406)
    (info,) = ask(server, f'target_info{{instance="{temporality}"}}')
    assert info["metric"]["telemetry_sdk_language"] == "python"
    assert info["metric"]["job"] == "shop"
    assert info["metric"]["host"] == "node-1"
