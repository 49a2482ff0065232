"""One task under watch: when its checks begin, end and begin anew."""

import pytest
from msgspec.structs import replace

from healthcheck.check import Check, CheckType, Policy
from healthcheck.select import DeclaredCheck, TaskMatch
from healthcheck.watched import Slot, Watched
from model.health import Probe
from model.task import HealthStatus, Run, Task, TaskState
from tests.fakes.tasks import make_task

T0 = 1_767_225_600_000
CHECKS = [DeclaredCheck(TaskMatch(app="*"), Check("tcp", CheckType.TCP))]


def shown(task: Task, **status: object) -> Task:
    """Return the task with another status."""
    return Task(task.identity, replace(task.status, **status))


def watch(task: Task, at_ms: int = T0) -> tuple[Watched, Slot]:
    """Return a task under watch and its only check."""
    watched = Watched(task)
    watched.update(task, CHECKS, at_ms, 100.0)
    return watched, watched.slots["tcp"]


def probe(watched: Watched, slot: Slot, kind: Probe = Probe.PASS, at_ms: int = T0) -> bool:
    """Let a probe end; tells whether its result was taken."""
    return (
        watched.finish(slot, kind, "", at_ms=at_ms, duration_seconds=0.1, now_ms=at_ms) is not None
    )


@pytest.mark.parametrize(
    ("age_seconds", "earliest"),
    [(0, 15.0), (5, 10.0), (15, 0.0), (86_400, 0.0)],
)
def test_first_probe_comes_after_the_delay(age_seconds: int, earliest: float) -> None:
    """It counts from the start of the run, not of Taskscope, and is spread over one interval."""
    waits = []
    for n in range(200):
        _, slot = watch(make_task(f"shop-{n}"), T0 + age_seconds * 1000)
        waits.append(slot.due - 100.0)

    assert earliest <= min(waits) < earliest + 0.5
    assert earliest + 9.5 < max(waits) <= earliest + 10.0


def test_no_checks_before_it_runs() -> None:
    """A task that is being staged has no checks yet, and its health is not known."""
    task = make_task(state=TaskState.STAGING, runs=())
    watched = Watched(task)
    watched.update(task, CHECKS, T0, 100.0)

    assert watched.slots == {}
    assert watched.health() is None

    watched.update(shown(task, state=TaskState.RUNNING, runs=(Run(1, T0),)), CHECKS, T0, 100.0)
    health = watched.health()

    assert list(watched.slots) == ["tcp"]
    assert health is not None
    assert health.status is HealthStatus.UNKNOWN


def test_each_run_begins_anew() -> None:
    """A new run's health is unknown, and a result of the run before does not count."""
    task = make_task()
    watched, old = watch(task)
    probe(watched, old)
    again = shown(task, runs=(Run(1, T0, T0 + 5), Run(2, T0 + 9)))
    watched.update(again, CHECKS, T0 + 9, 109.0)
    health = watched.health()

    assert health is not None
    assert health.status is HealthStatus.UNKNOWN
    assert not probe(watched, old, Probe.FAIL)
    assert watched.slots["tcp"].state.failures == 0


def test_correction_of_the_start_is_no_new_run() -> None:
    """A start time that becomes more exact, or another pid, leaves the checks alone."""
    task = make_task()
    watched, slot = watch(task)
    watched.update(shown(task, runs=(Run(1, T0 - 3),), pid=7), CHECKS, T0, 100.0)

    assert watched.slots["tcp"] is slot


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.LOST, TaskState.RESTARTING])
def test_last_state_is_kept_when_it_ends(state: TaskState) -> None:
    """A probe that was under way then does not count: of course the port no longer answers."""
    task = make_task()
    watched, slot = watch(task)
    probe(watched, slot)
    watched.update(shown(task, state=state), CHECKS, T0, 100.0)
    for _ in range(5):
        assert not probe(watched, slot, Probe.FAIL, T0 + 60_000)
    health = watched.health()

    assert health is not None
    assert health.status is HealthStatus.HEALTHY


def test_labels_that_change_change_the_checks() -> None:
    """Where a runtime lets labels change, the checks follow."""
    task = make_task()
    watched, _ = watch(task)
    labels = {"taskscope.health.type": "http", "taskscope.health.bad": "x"}
    watched.update(shown(task, labels=labels), CHECKS, T0, 100.0)

    assert list(watched.slots) == ["tcp", "http"]
    assert len(watched.problems) == 1


def test_runtimes_own_check_is_mirrored() -> None:
    """Each change of it is a result; an unhealthy one makes the task unhealthy whatever other checks say."""
    task = make_task()
    watched, slot = watch(task)
    probe(watched, slot)
    told: list[tuple[str, str] | None] = []
    for word in ("starting", "healthy", "healthy", "unhealthy", "unhealthy"):
        changed = shown(task, runtime_health=HealthStatus(word), pid=len(told))
        result = watched.update(changed, CHECKS, T0, 100.0)
        told.append((result.probe.value, result.status.value) if result else None)
    health = watched.health()

    assert told == [
        ("pass", "starting"),
        ("pass", "healthy"),
        None,
        ("fail", "unhealthy"),
        None,
    ]
    assert health is not None
    assert health.status is HealthStatus.UNHEALTHY
    assert [r.check for r in health.checks] == ["tcp", "runtime"]


def test_policy_of_the_check_is_used() -> None:
    """Failures are counted by the check's own policy."""
    task = make_task(labels={"taskscope.health.type": "tcp"})
    watched = Watched(task)
    check = Check("tcp", CheckType.TCP, policy=Policy(max_consecutive_failures=1))
    watched.update(task, [DeclaredCheck(TaskMatch(app="*"), check)], T0, 100.0)
    slot = watched.slots["tcp"]
    probe(watched, slot, Probe.FAIL, T0 + 60_000)

    assert slot.result.status is HealthStatus.UNHEALTHY
    assert slot.result.changed
