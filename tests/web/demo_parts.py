"""A console with plausible made-up data: twelve tasks in all states, an hour of samples, logs, alerts.

``python -m tests.web.demo_parts --port 9801`` serves it and goes on writing logs and samples.
"""

import argparse
import math
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from alerting.view import GroupView, RuleView
from model.alert import Alert, AlertState
from model.health import CheckKind, HealthResult, Probe, TaskHealth
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.task import (
    ContainerID,
    Exit,
    HealthStatus,
    Port,
    Run,
    Task,
    TaskID,
    TaskIdentity,
    TaskState,
    TaskStatus,
)
from promql.engine import Engine
from tests.fakes.store import MemoryStore
from tests.fakes.tasks import FakeTaskSource
from tests.web.memory_logs import MemoryLogs
from web.app import create_app
from web.parts import Parts
from web.server import WebServer

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
MINUTE_MS = 60_000
STEP_MS = 15_000
MIB = 1024 * 1024


DEMO_TARGETS = {
    "activeTargets": [
        {
            "discoveredLabels": {"__address__": f"172.17.0.{host}:8080"},
            "labels": {"job": "shop", "instance": f"172.17.0.{host}:8080"},
            "scrapePool": "shop",
            "scrapeUrl": f"http://172.17.0.{host}:8080/metrics",
            "lastError": "" if host < 4 else "the answer is HTML, no metrics",
            "health": "up" if host < 4 else "down",
        }
        for host in (2, 3, 4)
    ],
    "droppedTargets": [],
}


class SystemClock:
    """The real clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


def make_identity(number: int, app: str, name: str, image: str, framework: str) -> TaskIdentity:
    """Return an identity whose id looks like Docker's."""
    digest = random.Random(number).randbytes(32).hex()
    task_id = digest if framework == "docker" else f"{name}-{digest[:6]}"
    return TaskIdentity(
        cluster="local",
        host="node-1",
        framework=framework,
        namespace="default" if number < 9 else "batch",
        app=app,
        task_name=name,
        task_id=TaskID(task_id),
        container_id=ContainerID(task_id if framework == "docker" else ""),
        container_name=name if framework == "docker" else "",
        image=image,
    )


@dataclass
class Demo:
    """The made-up host: what it has and how to add to it."""

    now_ms: int
    store: MemoryStore = field(default_factory=MemoryStore)
    logs: MemoryLogs = field(default_factory=MemoryLogs)
    tasks: dict[str, Task] = field(default_factory=dict)
    healths: dict[TaskID, TaskHealth] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    source: FakeTaskSource = field(default_factory=FakeTaskSource)
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    def add(
        self,
        app: str,
        name: str,
        image: str = "",
        framework: str = "docker",
        **status: Any,
    ) -> Task:
        status.setdefault("created_ms", self.now_ms - 190 * MINUTE_MS)
        status.setdefault("runs", (Run(1, self.now_ms - 190 * MINUTE_MS),))
        identity = make_identity(len(self.tasks), app, name, image or f"{app}:1.4", framework)
        task = Task(identity, TaskStatus(**status))
        self.tasks[name] = task
        self.source.set(*self.tasks.values())
        return task

    def check(
        self,
        name: str,
        check: str,
        status: HealthStatus,
        output: str = "",
        *,
        failures: int = 0,
        kind: CheckKind = CheckKind.LIVENESS,
    ) -> None:
        identity = self.tasks[name].identity
        probe = Probe.FAIL if status is HealthStatus.UNHEALTHY else Probe.PASS
        result = HealthResult(
            identity,
            check,
            kind,
            probe,
            status,
            False,
            self.now_ms - 4000,
            0.0123,
            failures,
            output,
        )
        known = self.healths.get(identity.task_id, TaskHealth(status, self.now_ms - 9 * MINUTE_MS))
        ready = (status is HealthStatus.HEALTHY) if kind is CheckKind.READINESS else known.ready
        worst = status if kind is CheckKind.LIVENESS else known.status
        self.healths[identity.task_id] = replace(
            known, status=worst, ready=ready, checks=(*known.checks, result)
        )

    def series(
        self, name: str, metric: str, values: Sequence[float], end_ms: int, **labels: str
    ) -> None:
        identity = self.tasks[name].identity
        full = Labels.of({METRIC_NAME: metric, **prometheus_labels(identity), **labels})
        refs = np.repeat(self.store.series([full]), len(values))
        times = end_ms - STEP_MS * np.arange(len(values), dtype=np.int64)[::-1]
        self.store.append_samples(refs, times, np.array(values, dtype=np.float64))

    def usage(
        self, name: str, cores: float, memory_mib: float, *, end_ms: int = 0, leak: bool = False
    ) -> None:
        """Write an hour of CPU, memory and network ending at ``end_ms``."""
        end_ms, points, rng = end_ms or self.now_ms, 240, self.rng
        total, cpu, memory, received, sent = 0.0, [], [], [], []
        network = [0.0, 0.0]
        for i in range(points):
            wave = 1 + 0.35 * math.sin(i / 19) + 0.2 * rng.random()
            total += cores * wave * STEP_MS / 1000
            cpu.append(total)
            grown = (0.15 + 0.85 * ((i % 80) / 80)) if leak else 1 + 0.05 * math.sin(i / 31)
            memory.append((memory_mib * grown + rng.random()) * MIB)
            network[0] += cores * wave * 9e5
            network[1] += cores * wave * 4e5
            received.append(network[0])
            sent.append(network[1])
        for metric, values in (
            ("container_cpu_usage_seconds_total", cpu),
            ("container_memory_working_set_bytes", memory),
            ("container_network_receive_bytes_total", received),
            ("container_network_transmit_bytes_total", sent),
        ):
            self.series(name, metric, values, end_ms)

    def extend(self, now_ms: int) -> None:
        """Let every series that is still alive grow on as it grew last."""
        for samples in list(self.store.samples.values()):
            before, last = sorted(samples)[-2:]
            if now_ms - last < 5 * STEP_MS:
                samples[now_ms] = samples[last] + max(0.0, samples[last] - samples[before])

    def log(self, name: str, at_ms: int, message: str, level: str = "", **fields: Any) -> None:
        self.logs.put(self.tasks[name].identity, at_ms * 1_000_000, message, level, **fields)

    def alert(
        self,
        name: str,
        task: str,
        minutes: int,
        summary: str,
        *,
        more: str = "",
        severity: str = "warning",
    ) -> None:
        identity = self.tasks[task].identity
        state = AlertState.FIRING if minutes > 2 else AlertState.PENDING
        labels = {"alertname": name, "severity": severity, **prometheus_labels(identity)}
        annotations = {"summary": summary, "description": more, "runbook_url": f"/docs/{name}"}
        since = self.now_ms - minutes * MINUTE_MS
        self.alerts.append(Alert(Labels.of(labels), Labels.of(annotations), state, 3.0, since))

    def groups(self) -> list[GroupView]:
        """Return rule groups in which the made-up alerts belong."""
        expressions = {
            "TaskCrashLoop": "increase(container_restarts_total[10m]) > 2",
            "TaskOomKilled": "increase(task_oom_kills_total[10m]) > 0",
            "TaskUnhealthy": 'task_health_status{status="unhealthy"} == 1',
            "TaskNearMemoryLimit": "container_memory_working_set_bytes / container_spec_memory_limit_bytes > 0.9",
            "TargetDown": "up == 0",
        }
        rules = []
        for name, query in expressions.items():
            active = tuple(a for a in self.alerts if a.labels.get("alertname") == name)
            firing = any(a.state is AlertState.FIRING for a in active)
            state = AlertState.FIRING if firing else AlertState.PENDING
            broken = name == "TargetDown"
            rules.append(
                RuleView(
                    kind="alerting",
                    name=name,
                    query=query,
                    labels=Labels.of({"severity": "warning"}),
                    annotations=Labels.of({"runbook_url": f"/docs/{name}", "summary": "…"}),
                    duration_seconds=60.0,
                    keep_firing_for_seconds=0.0,
                    state=state if active else AlertState.INACTIVE,
                    alerts=active,
                    health="err" if broken else "ok",
                    last_error="1:4: parse error: unexpected end of input" if broken else "",
                    evaluation_seconds=0.0012,
                    last_evaluation_ms=self.now_ms - 7000,
                )
            )
        recording = replace(
            rules[0],
            kind="recording",
            name="app:cpu:rate2m",
            query="sum by (app) (rate(container_cpu_usage_seconds_total[2m]))",
            alerts=(),
            state=AlertState.INACTIVE,
        )
        last = self.now_ms - 7000
        return [
            GroupView("tasks", "shipped", 15.0, 0, 0.0, tuple(rules[:4]), 0.004, last),
            GroupView("own", "rules/own.yml", 15.0, 0, 0.0, (*rules[4:], recording), 0.001, last),
        ]

    def parts(self, registry: CollectorRegistry) -> Parts:
        health = SimpleNamespace(healths=lambda: self.healths)
        rules = SimpleNamespace(groups=self.groups, alerts=lambda: list(self.alerts))
        return Parts(
            clock=SystemClock(),
            version="0.1.0",
            exposition=lambda: generate_latest(registry),
            status=self.status,
            tasks=self.source,
            health=health,
            queryable=self.store,
            engine=Engine(),
            logs=self.logs,
            rules=rules,
            targets=lambda: DEMO_TARGETS,
        )

    def status(self) -> Mapping[str, Any]:
        return {
            "mode": "up",
            "cluster": "local",
            "host": "node-1",
            "data_dir": "/var/lib/taskscope",
            "started_ms": self.now_ms - 193 * MINUTE_MS,
            "found": [
                "Docker 20.10 with 9 containers at unix:///var/run/docker.sock.",
                "3 processes started with taskscope run.",
                "No Elasticsearch at http://127.0.0.1:9200; logs go to the embedded store.",
            ],
            "next": [
                "Open a task to see its graphs and its log.",
                "Put your own rules beside the shipped ones: alerting.rule_files.",
            ],
            "problems": [
                "Elasticsearch at http://127.0.0.1:9200 refuses the password; set logship.sinks[1].password_file."
            ],
            "sources": [
                {
                    "name": "docker",
                    "state": "up",
                    "detail": "unix:///var/run/docker.sock",
                    "figures": {"tasks": 9},
                },
                {
                    "name": "process",
                    "state": "up",
                    "detail": "/run/taskscope/tasks",
                    "figures": {"tasks": 3},
                },
            ],
            "sinks": [
                {
                    "name": "embedded",
                    "state": "up",
                    "detail": "",
                    "figures": {"sent_records": 182_331, "lag_seconds": 0.4},
                },
                {
                    "name": "elasticsearch",
                    "state": "down",
                    "detail": "401: unable to authenticate user [elastic]",
                    "figures": {"lag_bytes": 9_113_600},
                },
            ],
            "stores": [
                {
                    "name": "series",
                    "state": "ok",
                    "detail": "",
                    "figures": {
                        "series": 1212,
                        "disk_bytes": 31_400_000,
                        "oldest_ms": self.now_ms - 86_400_000,
                    },
                },
                {
                    "name": "logs",
                    "state": "ok",
                    "detail": "",
                    "figures": {"records": 182_331, "disk_bytes": 6_400_000},
                },
            ],
            "self": [
                {
                    "name": "process",
                    "detail": "",
                    "figures": {"memory_bytes": 148_000_000, "cpu_cores": 0.013, "threads": 24},
                }
            ],
        }


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
            f"shop-{1 + second % 2}",
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
