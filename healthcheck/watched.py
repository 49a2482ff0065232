"""One task under watch: its checks, where each stands, and what the runtime itself says. No I/O, no locks."""

import random
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from healthcheck.check import Check
from healthcheck.select import DeclaredCheck, checks_for
from healthcheck.state import CheckState, combine
from model.health import CheckKind, HealthResult, Probe, TaskHealth
from model.task import HealthStatus, Run, Task, TaskState

RUNTIME_CHECK: Final = "runtime"  # the name under which Docker's HEALTHCHECK is mirrored
_NOTHING_YET: Final = "no result yet"


class Slot(Struct, eq=False):
    """One check of one task.

    Attributes:
        run: The run it is for; a result of an earlier one is dropped.
        due: When to probe next, on the monotonic clock.
        busy: Whether a probe is under way; a check never overlaps itself.
        slow: Whether its last probe took long, see ``HealthManager``.
    """

    task: Task
    check: Check
    run: int
    state: CheckState
    result: HealthResult
    due: float
    busy: bool = False
    slow: bool = False


class Watched(Struct, eq=False):
    """See the module.

    Attributes:
        task: As last seen.
        slots: By name of the check; kept as they are when the task ends.
        active: Whether the task runs, so that its checks are made.
        runtime: The runtime's own check and since when it says so.
        problems: What is wrong with the task's labels.
    """

    task: Task
    slots: dict[str, Slot] = field(default_factory=dict)
    active: bool = False
    runtime: tuple[HealthResult, int] | None = None
    problems: tuple[str, ...] = ()
    run: int = 0

    def update(
        self, task: Task, declared: Sequence[DeclaredCheck], now_ms: int, monotonic: float
    ) -> HealthResult | None:
        """Take a newer view of the task; returns the runtime's health if that has changed."""
        same_checks = (
            self.run
            and task.identity == self.task.identity
            and task.status.labels == self.task.status.labels
        )
        self.task = task
        run = task.status.run
        self.active = task.status.state is TaskState.RUNNING and run is not None
        for slot in self.slots.values():
            slot.task = task
        if run is not None and self.active and (run.number != self.run or not same_checks):
            self.run = run.number
            found = checks_for(task, declared)
            self.problems = found.problems
            self.slots = {
                check.name: _fresh(task, check, run, now_ms, monotonic) for check in found.checks
            }
        return self._mirror(now_ms)

    def health(self) -> TaskHealth | None:
        """Return the task's health; None without any check."""
        pairs = [(slot.result, slot.state.since_ms) for slot in self.slots.values()]
        if self.runtime is not None:
            pairs.append(self.runtime)
        return combine(pairs) if pairs else None

    def finish(
        self,
        slot: Slot,
        probe: Probe,
        output: str,
        *,
        at_ms: int,
        duration_seconds: float,
        now_ms: int,
    ) -> HealthResult | None:
        """Take the outcome of a probe; None if it came too late: the task has ended or started anew."""
        slot.busy = False
        if not self.active or self.slots.get(slot.check.name) is not slot:
            return None
        before = slot.state.status
        slot.state = slot.state.step(slot.check.policy, probe, now_ms)
        slot.result = HealthResult(
            identity=self.task.identity,
            check=slot.check.name,
            kind=slot.check.kind,
            probe=probe,
            status=slot.state.status,
            changed=slot.state.status is not before,
            at_ms=at_ms,
            duration_seconds=duration_seconds,
            failures=slot.state.failures,
            output=output,
        )
        return slot.result

    def _mirror(self, now_ms: int) -> HealthResult | None:
        status = self.task.status.runtime_health
        before = self.runtime[0].status if self.runtime else HealthStatus.UNKNOWN
        if status is before or not self.active:
            return None
        if status is HealthStatus.UNKNOWN:
            self.runtime = None
            return None
        unhealthy = status is HealthStatus.UNHEALTHY
        result = HealthResult(
            identity=self.task.identity,
            check=RUNTIME_CHECK,
            kind=CheckKind.LIVENESS,
            probe=Probe.FAIL if unhealthy else Probe.PASS,
            status=status,
            changed=True,
            at_ms=now_ms,
            duration_seconds=0.0,
            failures=int(unhealthy),
            output=f"the runtime's own check says {status.value}",
        )
        self.runtime = (result, now_ms)
        return result


def _fresh(task: Task, check: Check, run: Run, now_ms: int, monotonic: float) -> Slot:
    """Start a check anew; the first probe comes after the delay, spread over one interval."""
    policy = check.policy
    wait = max(policy.delay_seconds - (now_ms - run.started_ms) / 1000, 0.0)
    # the same for the same run, so that a restart of Taskscope shifts nothing
    jitter = random.Random(f"{task.identity.task_id}/{check.name}/{run.number}").random()
    nothing = HealthResult(
        identity=task.identity,
        check=check.name,
        kind=check.kind,
        probe=Probe.ERROR,
        status=HealthStatus.UNKNOWN,
        changed=False,
        at_ms=0,
        duration_seconds=0.0,
        failures=0,
        output=_NOTHING_YET,
    )
    state = CheckState(run.started_ms, since_ms=now_ms)
    return Slot(
        task, check, run.number, state, nothing, monotonic + wait + jitter * policy.interval_seconds
    )
