"""A console with plausible made-up data: twelve tasks in all states, an hour of samples, logs, alerts.

``python -m tests.web.demo_parts --port 9801`` serves it and goes on writing logs and samples.
"""

import argparse
import threading
import time
from typing import Any

from prometheus_client import CollectorRegistry

from model.health import CheckKind
from model.task import (
    Exit,
    HealthStatus,
    Port,
    Run,
    TaskState,
)
from tests.web.demo_host import HOSTILE, MIB, MINUTE_MS, STEP_MS, Demo
from web.app import create_app
from web.server import WebServer

TRACE = """Traceback (most recent call last):
  File "/app/job.py", line 41, in main
    report = build(fetch(url))
  File "/app/job.py", line 17, in fetch
    raise ConnectionError(f"{url}: connection refused")
ConnectionError: http://billing:8080/report: connection refused"""


def make_demo(now_ms: int | None = None) -> Demo:
    """Return the host with its twelve tasks."""
    demo = Demo(now_ms or time.time_ns() // 1_000_000)
    now = demo.now_ms
    limit: dict[str, Any] = {"memory_limit_bytes": 256 * MIB, "cpu_limit": 0.5}
    for i in (1, 2):
        demo.add(
            "shop",
            f"shop-{i}",
            address="172.17.0.2",
            ports=(Port(8080, 18080 + i),),
            pid=4100 + i,
            **limit,
            state=TaskState.RUNNING,
        )
        demo.usage(f"shop-{i}", 0.11 * i, 120)
        demo.check(f"shop-{i}", "http", HealthStatus.HEALTHY, "200 OK")
        demo.check(f"shop-{i}", "ready", HealthStatus.HEALTHY, "200 OK", kind=CheckKind.READINESS)
    demo.add("billing", "billing", state=TaskState.RUNNING, **limit)
    demo.usage("billing", 0.34, 201)
    demo.check(
        "billing",
        "http",
        HealthStatus.UNHEALTHY,
        "GET http://172.17.0.5:8080/healthz: 503\n\ndatabase pool exhausted (20 of 20 in use)",
        failures=14,
    )
    demo.add(
        "worker",
        "worker-a",
        state=TaskState.RUNNING,
        image="registry.example:5000/team/worker:2026.11.3",
    )
    demo.usage("worker-a", 1.42, 512)
    oom = Exit(137, 9, oom=True)
    leak_runs = tuple(
        Run(
            n,
            now - (5 - n) * 20 * MINUTE_MS,
            now - (4 - n) * 20 * MINUTE_MS - 4000 if n < 4 else None,
            oom if n < 4 else None,
        )
        for n in range(1, 5)
    )
    demo.add(
        "leaky",
        "leaky",
        state=TaskState.RUNNING,
        runs=leak_runs,
        restarts=3,
        memory_limit_bytes=64 * MIB,
    )
    demo.usage("leaky", 0.02, 60, leak=True)
    crash_runs = tuple(
        Run(n, now - (31 - n) * MINUTE_MS, now - (31 - n) * MINUTE_MS + 9000, Exit(1))
        for n in range(22, 31)
    )
    demo.add("report", "report-job", state=TaskState.RESTARTING, runs=crash_runs, restarts=29)
    demo.usage("report-job", 0.05, 22)
    demo.add("chatty", "chatty", state=TaskState.RUNNING)
    demo.usage("chatty", 0.004, 9)
    demo.add("cache", "cache", state=TaskState.PAUSED, image="redis:7-alpine")
    demo.usage("cache", 0.0, 31)
    ended = now - 12 * MINUTE_MS
    for name, state, exit_ in (
        ("migrate-42", TaskState.FINISHED, Exit(0)),
        ("import-7", TaskState.FAILED, Exit(137, 9, oom=True)),
        ("canary", TaskState.KILLED, Exit(143, 15)),
    ):
        demo.add(
            name.split("-")[0],
            name,
            framework="process",
            image="",
            state=state,
            runs=(Run(1, now - 70 * MINUTE_MS, ended, exit_),),
            memory_limit_bytes=128 * MIB,
        )
        demo.usage(name, 0.2, 70, end_ms=ended)
    demo.add("hostile", HOSTILE, image=HOSTILE, state=TaskState.STAGING, runs=())
    _fill_series(demo)
    _fill_logs(demo)
    demo.alert(
        "TaskCrashLoop",
        "report-job",
        27,
        "report has started 12 times in 10 minutes",
        more="Its last run ended with exit 1 after 9 s. The last lines say why.",
        severity="critical",
    )
    demo.alert("TaskOomKilled", "leaky", 4, "leaky was killed for want of memory")
    demo.alert("TaskUnhealthy", "billing", 9, f"billing is unhealthy: {HOSTILE}")
    demo.alert("TaskNearMemoryLimit", "leaky", 1, "leaky uses 94 % of its memory limit")
    return demo


def _fill_series(demo: Demo) -> None:
    now, points = demo.now_ms, 240
    restarts = {"report-job": 29, "leaky": 3}
    for name, task in demo.tasks.items():
        total = restarts.get(name, 0)
        counts = [
            max(0, total - (points - i) // (points // (total or 1) or 1)) for i in range(points)
        ]
        demo.series(name, "container_restarts_total", counts, now)
        if task.status.cpu_limit:
            demo.series(
                name,
                "container_cpu_cfs_throttled_seconds_total",
                [i * 0.12 for i in range(points)],
                now,
            )
    failing = [1.0 if i < 190 and i not in (100, 101, 102) else 0.0 for i in range(points)]
    demo.series("billing", "probe_success", failing, now, check="http")
    demo.series("shop-1", "probe_success", [1.0] * points, now, check="http")
    demo.series(
        "report-job", "log_lines_total", [i * 0.7 for i in range(points)], now, level="error"
    )
    demo.series("billing", "log_lines_total", [i * 0.4 for i in range(points)], now, level="error")


def _fill_logs(demo: Demo) -> None:
    now, rng = demo.now_ms, demo.rng
    for second in range(3600, 0, -12):
        at = now - second * 1000
        path = rng.choice(["/cart", "/checkout", "/item/17", "/search?q=tea"])
        status = 500 if rng.random() < 0.04 else 200
        level = "error" if status == 500 else "info"
        demo.log(
            f"shop-{1 + second // 12 % 2}",
            at,
            f"GET {path} {status} in {rng.randint(2, 80)} ms",
            level,
            status=status,
            path=path,
            trace="4bf92f3577b34da6a3ce929d0e0e4736",
        )
        if second % 60 == 0:
            demo.log(
                "worker-a", at + 300, f"job={second} state=done took={rng.randint(1, 9)}s", "info"
            )
            demo.log("report-job", at + 500, "starting report for http://billing:8080", "info")
            demo.log("report-job", at + 900, TRACE, "error", stream="stderr")
        if second % 36 == 0:
            demo.log("billing", at + 100, "pool: waiting for a connection, 20 of 20 in use", "warn")
        if second % 180 == 0:
            demo.log(
                "billing",
                at + 130,
                "request failed: could not get a connection within 5 s",
                "error",
            )
            demo.log("leaky", at + 10, f"allocated {second} KiB", "debug")
    demo.log("import-7", now - 12 * MINUTE_MS - 900, "loading 41,000,000 rows into memory", "warn")
    demo.log("import-7", now - 12 * MINUTE_MS - 30, "Killed")
    demo.log(
        HOSTILE,
        now - 5000,
        HOSTILE + "</div><script>document.title='owned'</script>",
        "fatal",
        evil=HOSTILE,
    )


def _go_on(demo: Demo, stop: threading.Event) -> None:
    next_samples = time.monotonic()
    while not stop.wait(0.7):
        now = time.time_ns() // 1_000_000
        demo.log("shop-1", now, f"GET /item/{demo.rng.randint(1, 99)} 200 in 12 ms", "info")
        demo.log("chatty", now, "tick")
        if demo.rng.random() < 0.1:
            demo.log("report-job", now, TRACE, "error", stream="stderr")
        if time.monotonic() >= next_samples:
            next_samples += STEP_MS / 1000
            demo.extend(now)


def main() -> None:
    """Serve the demo until interrupted."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=9801)
    demo = make_demo()
    registry = CollectorRegistry()
    app = create_app(demo.parts(registry), registry)
    server = WebServer(app, "127.0.0.1", arguments.parse_args().port)
    server.start()
    print(server.url, flush=True)
    stop = threading.Event()
    try:
        _go_on(demo, stop)
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
