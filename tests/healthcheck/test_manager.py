"""The manager with real probes of real servers on loopback."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from healthcheck.check import Check, CheckType, Policy
from healthcheck.manager import HealthManager
from healthcheck.select import DeclaredCheck, TaskMatch
from model.health import HealthResult, Probe, TaskHealth
from model.samples import is_no_sample
from model.task import ContainerID, HealthStatus, Port, Run, Task, TaskState
from tests.discovery.clock import SystemClock
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.healthcheck import servers
from tests.healthcheck.servers import answer, serve

FAST = Policy(delay_seconds=0, grace_period_seconds=0, interval_seconds=0.05, timeout_seconds=0.5)


def server_task(name: str, port: int) -> Task:
    """Return a task that listens on a port of loopback, running since now."""
    now = time.time_ns() // 1_000_000
    return make_task(name, app=name, address="127.0.0.1", ports=(Port(port),), runs=(Run(1, now),))


def http(app: str = "*", policy: Policy = FAST, **options: object) -> DeclaredCheck:
    """Declare an HTTP check."""
    check = Check("http", CheckType.HTTP, policy=policy)
    return DeclaredCheck(TaskMatch(app=app), replace(check, **options))


class Lab:
    """A manager and what it said."""

    def __init__(self) -> None:
        self.source = FakeTaskSource()
        self.registry = CollectorRegistry()
        self.changes: list[HealthResult] = []
        self.managers: list[HealthManager] = []

    def start(self, *checks: DeclaredCheck, **options: Callable[[str], str]) -> HealthManager:
        manager = HealthManager(
            self.source,
            checks,
            None,
            SystemClock(),
            self.registry,
            on_change=lambda result, task: self.changes.append(result),
            **options,
        )
        self.managers.append(manager)
        manager.start()
        return manager

    def health(self, task: Task) -> TaskHealth | None:
        return self.managers[0].healths().get(task.identity.task_id)

    def status(self, task: Task) -> str:
        health = self.health(task)
        return health.status.value if health else "none"

    def wait(self, so: Callable[[], object], seconds: float = 8.0) -> None:
        deadline = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.01)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab that is cleared away."""
    one = Lab()
    yield one
    for manager in one.managers:
        manager.stop()


def test_from_healthy_to_unhealthy_and_back(lab: Lab) -> None:
    """Each change is told once, and the series show the state."""
    well = threading.Event()
    well.set()

    def behave(connection: socket.socket) -> None:
        answer("200 OK" if well.is_set() else "503 Sick")(connection)

    with serve(behave) as port:
        task = server_task("shop-1", port)
        lab.source.set(task)
        manager = lab.start(http())
        lab.wait(lambda: lab.status(task) == "healthy")
        well.clear()
        lab.wait(lambda: lab.status(task) == "unhealthy")
        well.set()
        lab.wait(lambda: lab.status(task) == "healthy")
        (block,) = manager.collect(0)

    assert [r.status.value for r in lab.changes] == ["healthy", "unhealthy", "healthy"]
    assert lab.changes[1].failures == 3
    assert lab.changes[1].output.endswith("status 503")
    series = {
        (labels.get("__name__"), labels.get("status")): value
        for labels, value in zip(block.labels, block.values, strict=True)
    }
    assert series["task_health_status", "healthy"] == 1
    assert series["task_health_status", "unhealthy"] == 0
    assert series["probe_success", ""] == 1
    assert all(labels.get("task_id") == "shop-1-id" for labels in block.labels)


@pytest.mark.slow
def test_hung_targets_delay_nobody(lab: Lab) -> None:
    """Beside forty targets that never answer, one that does is probed on time."""
    with serve(servers.hang) as hung, serve(answer()) as port:
        good = server_task("good", port)
        lab.source.set(good, *(server_task(f"hung-{n}", hung) for n in range(40)))
        lab.start(http(policy=replace(FAST, timeout_seconds=1.2, interval_seconds=0.2)))
        lab.wait(lambda: lab.status(good) == "healthy")
        time.sleep(1.5)  # by now the hung ones are known to be slow
        times = set()
        began = time.monotonic()
        while time.monotonic() - began < 2:
            health = lab.health(good)
            assert health is not None
            times.add(health.checks[0].at_ms)
            time.sleep(0.01)

    assert len(times) >= 8  # ten intervals
    assert max(np.diff(sorted(times))) < 600


def test_check_never_overlaps_itself(lab: Lab) -> None:
    """A probe that takes longer than its interval is not joined by a second one."""
    now, most, total = 0, 0, 0
    lock = threading.Lock()

    def behave(connection: socket.socket) -> None:
        nonlocal now, most, total
        servers.request(connection)
        with lock:
            now, total = now + 1, total + 1
            most = max(most, now)
        time.sleep(0.15)
        with lock:
            now -= 1
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serve(behave) as port:
        lab.source.set(server_task("shop-1", port))
        lab.start(http())
        lab.wait(lambda: total >= 5)

    assert most == 1


def test_task_that_ends_is_left_alone(lab: Lab) -> None:
    """Its checks stop, its last health stays known, its series end; removed, it is forgotten."""
    count = 0

    def behave(connection: socket.socket) -> None:
        nonlocal count
        answer()(connection)
        count += 1

    with serve(behave) as port:
        task = server_task("shop-1", port)
        lab.source.set(task)
        manager = lab.start(http())
        lab.wait(lambda: lab.status(task) == "healthy")
        lab.source.set(Task(task.identity, replace(task.status, state=TaskState.FAILED)))
        lab.wait(lambda: not list(manager.collect(0)))
        time.sleep(0.1)
        before = count
        time.sleep(0.3)

        assert count == before
        assert lab.status(task) == "healthy"

    lab.source.set()
    lab.wait(lambda: lab.status(task) == "none")
    assert [r.status for r in lab.changes] == [HealthStatus.HEALTHY]


def test_probe_that_cannot_be_made(lab: Lab) -> None:
    """It is counted by its reason, tells nothing of the task, and has no success series."""
    task = make_task(runs=(Run(1, time.time_ns() // 1_000_000),))  # without an address
    lab.source.set(task)
    manager = lab.start(http())
    name = "taskscope_healthcheck_probe_errors_total"
    lab.wait(lambda: (lab.registry.get_sample_value(name, {"reason": "address"}) or 0) >= 5)
    health = lab.health(task)
    (block,) = manager.collect(0)
    values = dict(zip((one.get("__name__") for one in block.labels), block.values, strict=True))

    assert health is not None
    assert health.status is HealthStatus.UNKNOWN
    assert health.checks[0].probe is Probe.ERROR
    assert is_no_sample(np.array([values["probe_success"]])).all()
    assert lab.changes == []


def test_readiness_has_a_series_of_its_own(lab: Lab) -> None:
    """A task that is not ready is healthy, and ``task_ready`` says 0."""
    labels = {
        "taskscope.health.type": "http",
        "taskscope.health.ready.type": "http",
        "taskscope.health.ready.kind": "readiness",
        "taskscope.health.ready.path": "/ready",
    }
    for check in ("", "ready."):
        labels |= {f"taskscope.health.{check}delay_seconds": "0"}
        labels |= {f"taskscope.health.{check}grace_period_seconds": "0"}
        labels |= {f"taskscope.health.{check}interval_seconds": "0.5"}
        labels |= {f"taskscope.health.{check}max_consecutive_failures": "1"}

    def behave(connection: socket.socket) -> None:
        ready = "/ready" in servers.request(connection).split("\r\n")[0]
        status = "503 Not yet" if ready else "200 OK"
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with serve(behave) as port:
        task = server_task("shop-1", port)
        task = Task(task.identity, replace(task.status, labels=labels))
        lab.source.set(task)
        manager = lab.start()
        lab.wait(lambda: len(lab.changes) == 2)
        (block,) = manager.collect(0)
    health = lab.health(task)
    values = dict(zip((one.get("__name__") for one in block.labels), block.values, strict=True))

    assert health is not None
    assert (health.status, health.ready) == (HealthStatus.HEALTHY, False)
    assert values["task_ready"] == 0


def test_label_sets_stay_the_same_objects(lab: Lab) -> None:
    """A consumer may key on them while the checks are the same."""
    with serve(answer()) as port:
        task = server_task("shop-1", port)
        lab.source.set(task)
        manager = lab.start(http())
        (first,) = manager.collect(0)
        lab.wait(lambda: lab.status(task) == "healthy")
        (second,) = manager.collect(0)

    assert first.labels is second.labels
    assert first.key == second.key == "health/shop-1-id"


def test_output_is_redacted_and_cut(lab: Lab) -> None:
    """What a task says goes through redaction first and is at most 4 KiB."""
    argv = ("sh", "-c", "echo token=abc; yes ä | head -n 9999; exit 1")
    check = Check("c", CheckType.COMMAND, policy=FAST, argv=argv)
    task = server_task("shop-1", 80)
    lab.source.set(Task(replace(task.identity, container_id=ContainerID("")), task.status))
    lab.start(
        DeclaredCheck(TaskMatch(app="*"), check), redact=lambda text: text.replace("abc", "***")
    )
    lab.wait(lambda: lab.changes)
    output = lab.changes[0].output

    assert "token=***" in output
    assert len(output.encode()) <= 4096


def test_listener_that_fails_stops_nothing(lab: Lab) -> None:
    """An error of who is told is logged, and checking goes on."""
    lab.changes = None  # type: ignore[assignment]  # makes the listener fail
    with serve(answer()) as port:
        task = server_task("shop-1", port)
        lab.source.set(task)
        lab.start(http())
        lab.wait(lambda: lab.status(task) == "healthy")
        first = lab.health(task)
        lab.wait(lambda: lab.health(task) != first)


def test_bad_labels_are_counted_and_shown(lab: Lab) -> None:
    """They are in the status for people and in a metric."""
    lab.source.set(make_task(labels={"taskscope.health.type": "icmp"}))
    manager = lab.start()

    assert "shop-1: taskscope.health.type: 'icmp' is no type" in manager.status().problems[0]
    assert lab.registry.get_sample_value("taskscope_healthcheck_bad_labels") == 1


def test_lifecycle(lab: Lab) -> None:
    """Stopping is safe before the start and twice, and no thread stays."""
    before = threading.active_count()
    manager = HealthManager(
        lab.source,
        (),
        None,
        SystemClock(),
        CollectorRegistry(),
        on_change=lambda result, task: None,
    )
    manager.stop()
    with serve(answer()) as port:
        lab.source.set(server_task("shop-1", port))
        running = lab.start(http())
        lab.wait(lambda: lab.changes)
        running.stop()
        running.stop()
    lab.wait(lambda: threading.active_count() <= before)
