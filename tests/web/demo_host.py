"""A made-up host for the console: tasks, samples, logs, alerts, and how to add to them."""

import math
import random
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from alerting.view import GroupView, RuleView
from model.alert import Alert, AlertState
from model.health import CheckKind, HealthResult, Probe, TaskHealth
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.task import (
    ContainerID,
    HealthStatus,
    Run,
    Task,
    TaskID,
    TaskIdentity,
    TaskStatus,
)
from promql.engine import Engine
from tests.fakes.store import MemoryStore
from tests.fakes.tasks import FakeTaskSource
from tests.web.memory_logs import MemoryLogs
from web.parts import Parts

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


class Demo(Struct):
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
        annotations = {
            "summary": summary,
            "description": more,
            "runbook_url": "docs/runbooks/task-crash-loop.md",
        }
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
                    annotations=Labels.of(
                        {"runbook_url": "docs/runbooks/task-crash-loop.md", "summary": "…"}
                    ),
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
            oldest_ms=lambda: self.now_ms - 240 * MINUTE_MS,
            engine=Engine(),
            logs=self.logs,
            rules=rules,
            targets=lambda: DEMO_TARGETS,
        )

    def status(self) -> Mapping[str, Any]:
        """Return what ``taskscope.wiring`` gives."""
        return {
            "kind": "up",
            "listen": "127.0.0.1:9800",
            "cluster": "local",
            "host": "node-1",
            "data_dir": "/var/lib/taskscope",
            "sources": [
                {
                    "name": "docker",
                    "ok": True,
                    "message": "Docker 20.10: 9 containers, 3 ended",
                    "counts": {"running": 6, "restarting": 1, "paused": 1, "staging": 1},
                },
                {
                    "name": "process",
                    "ok": True,
                    "message": "0 tasks of `taskscope run`, 3 ended",
                    "counts": {"finished": 1, "failed": 1, "killed": 1},
                },
            ],
            "sinks": [
                {"name": "embedded", "ok": True, "message": "delivering"},
                {
                    "name": "elasticsearch",
                    "ok": False,
                    "message": "401: unable to authenticate user [elastic]",
                },
            ],
            "streams": 14,
            "checks": 4,
            "problems": [
                "Elasticsearch at http://127.0.0.1:9200 refuses the password of its sink."
            ],
            "tsdb": {
                "series": 1212,
                "blocks": 3,
                "block_bytes": 31_400_000,
                "wal_bytes": 1_200_000,
                "min_time_ms": self.now_ms - 86_400_000,
                "metric_series": {"container_memory_working_set_bytes": 48, "up": 9},
            },
            "logs": "embedded",
            "rules": 11,
            "rule_problems": ["rule TargetDown: 1:4: parse error: unexpected end of input"],
        }
