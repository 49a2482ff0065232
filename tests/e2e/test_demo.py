"""The demo cluster, whole: listed, measured, logged, alerted on, and gone without a trace."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from taskscope.demo.cluster import TASKS
from tests.e2e.stack import Stack, cli, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.docker, pytest.mark.timeout(600)]

NAMES = {task.name for task in TASKS}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start Taskscope and the demo; stop both, whatever became of them."""
    data_dir = tmp_path_factory.mktemp("data")
    with Stack(data_dir) as running:
        started = cli("demo", data_dir=data_dir)
        assert started.returncode == 0, started.stderr
        running.begun = time.monotonic()  # type: ignore[attr-defined]  # when the demo was there
        yield running
    cli("demo", "--stop", data_dir=data_dir)


def test_all_tasks_are_listed_measured_and_tailed_within_a_minute(stack: Stack) -> None:
    """Every task has state, CPU, memory, health where it has a check, and its lines can be read."""

    def complete() -> bool:
        tasks = stack.tasks()
        measured = [
            t
            for t in tasks.values()
            if t["cpu_cores"] is not None and t["memory_bytes"] is not None
        ]
        healthy = {n for n, t in tasks.items() if t["health"]["status"] in ("healthy", "unhealthy")}
        logged = {n for n in NAMES if stack.logs(f"task_name:{n}", limit=1)}
        # report-job and leaky are between two runs some of the time
        return (
            set(tasks) == NAMES
            and len(measured) >= len(NAMES) - 1
            and healthy >= {"shop-1", "shop-2"}
            and logged == NAMES
        )

    eventually("all tasks listed, measured and logged", complete, 60)


def test_stack_traces_are_one_record_and_have_their_level(stack: Stack) -> None:
    """The job's traceback is one record that ends in the exception."""
    found = eventually("a traceback", lambda: stack.logs('task_name:report-job "Traceback"'), 60)

    assert any(
        message.startswith("Traceback") and "RuntimeError: no report" in message
        for message in found
    )


def test_application_metrics_are_scraped(stack: Stack) -> None:
    """The shop's own counters carry the task's identity beside job and instance."""
    found = eventually(
        "http_requests_total", lambda: stack.query('http_requests_total{app="shop"}'), 60
    )

    assert {series["metric"]["task_name"] for series in found} <= {"shop-1", "shop-2"}
    assert all(series["metric"]["job"] and series["metric"]["instance"] for series in found)


def test_shipped_rules_fire_within_five_minutes(stack: Stack) -> None:
    """Crash loop, out of memory and unhealthy fire, unmodified."""

    def firing() -> set[str]:
        return {
            a["labels"]["alertname"]
            for a in stack.get("/api/v1/alerts")["data"]["alerts"]
            if a["state"] == "firing"
        }

    wanted = {"TaskCrashLoop", "TaskOOMKilled", "TaskUnhealthy"}
    begun: float = stack.begun  # type: ignore[attr-defined]
    eventually(f"{wanted} fire", lambda: wanted <= firing(), 300 - (time.monotonic() - begun))
    assert cli("alerts", "--firing", "--server", stack.url).returncode == 1


def test_every_dashboard_query_has_data(stack: Stack) -> None:
    """No panel of a shipped dashboard is empty on the demo cluster, unless it says why it may be."""
    from dashboards.queries import DashboardQuery, queries

    def found(query: DashboardQuery) -> bool:
        return bool(stack.logs(query.expr, 1) if query.kind == "logs" else stack.query(query.expr))

    def empty() -> list[str]:
        return [
            f"{q.dashboard}: {q.panel}: {q.expr}"
            for q in queries()
            if not q.sparse and not found(q)
        ]

    # rates over a minute need two scrapes of every target
    eventually("every query has data", lambda: not empty(), 60)


def test_the_demo_leaves_nothing_behind(stack: Stack) -> None:
    """``demo --stop`` removes containers and image; the tasks stay listed with how they ended."""
    assert cli("demo", "--stop").returncode == 0

    for words in (
        ["ps", "-aq", "--filter", "label=taskscope.demo"],
        ["images", "-q", "taskscope-demo"],
    ):
        left = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
        assert left.stdout == ""
    eventually("all ended", lambda: all(t["ended"] for t in stack.tasks().values()), 30)
    assert set(stack.tasks()) == NAMES
    assert stack.logs("task_name:report-job")
