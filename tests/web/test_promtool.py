"""Prometheus's own client reads our answers."""

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.needs import leave_out
from tests.web.demo_host import Demo
from web.server import WebServer

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def promtool() -> str:
    """Return the path of promtool."""
    cached = Path.home() / ".cache/taskscope/bin/promtool"
    found = shutil.which("promtool") or (str(cached) if cached.exists() else None)
    if found is None:
        leave_out("there is no promtool")
    return found


def run(promtool: str, *arguments: str) -> str:
    """Run it and return what it prints."""
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_instant_query(promtool: str, demo_server: WebServer, demo: Demo) -> None:
    """Values and times come through as the engine gave them."""
    at = str(demo.now_ms / 1000)
    query = 'sum by (app) (container_restarts_total{app=~"report|leaky"})'
    printed = run(promtool, "query", "instant", f"--time={at}", demo_server.url, query)

    assert sorted(printed.splitlines()) == [
        f'{{app="leaky"}} => 3 @[{at}]',
        f'{{app="report"}} => 29 @[{at}]',
    ]


def test_range_query(promtool: str, demo_server: WebServer, demo: Demo) -> None:
    """Fifteen minutes, a point a minute."""
    end = demo.now_ms // 1000
    printed = run(
        promtool,
        "query",
        "range",
        f"--start={end - 900}",
        f"--end={end}",
        "--step=1m",
        "--format=json",
        demo_server.url,
        "sum(rate(container_cpu_usage_seconds_total[2m]))",
    )
    (series,) = json.loads(printed)

    assert [t for t, _ in series["values"]] == list(range(end - 900, end + 1, 60))
    assert all(1 < float(v) < 4 for _, v in series["values"])


def test_series_and_labels(promtool: str, demo_server: WebServer) -> None:
    """The other two commands that query."""
    series = run(promtool, "query", "series", "--match=probe_success", demo_server.url)
    labels = run(promtool, "query", "labels", demo_server.url, "app")

    assert len(series.splitlines()) == 2
    assert 'task_name="billing"' in series
    assert {"billing", "shop", "worker"} <= set(labels.split())


def test_own_metrics_are_well_formed(promtool: str, demo_server: WebServer) -> None:
    """The command "check metrics" finds nothing to complain of."""
    with urllib.request.urlopen(f"{demo_server.url}/metrics", timeout=5) as answer:
        exposed = answer.read()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposed, capture_output=True, timeout=20, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
