"""What a series of probe results says of a task's health: a pure state machine."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from healthcheck.check import Policy
from model.health import CheckKind, HealthResult, Probe, TaskHealth
from model.task import HealthStatus

_TOLERATED_ERRORS: Final = 3


class CheckState(Struct, frozen=True):
    """Where one check of one run stands. Times are ms since the epoch.

    Attributes:
        started_ms: Start of the run.
        status: UNKNOWN until enough results agree.
        since_ms: Since when ``status`` is what it is.
        passes, failures, errors: Consecutive ones; errors neither count as nor interrupt the others.
    """

    started_ms: int
    status: HealthStatus = HealthStatus.UNKNOWN
    since_ms: int = 0
    passes: int = 0
    failures: int = 0
    errors: int = 0

    def step(self, policy: Policy, probe: Probe, now_ms: int) -> "CheckState":
        """Return the state after one probe.

        An ERROR of the prober itself says nothing about the task, so health stays as it was; after
        as many in a row as failures would be needed (at least three), nobody knows any more.
        """
        if probe is Probe.ERROR:
            errors = self.errors + 1
            if errors < max(policy.max_consecutive_failures, _TOLERATED_ERRORS):
                return replace(self, errors=errors)
            unknown = replace(self, errors=errors, passes=0, failures=0)
            return _turn(unknown, HealthStatus.UNKNOWN, now_ms)
        if probe is Probe.PASS:
            passed = replace(self, passes=self.passes + 1, failures=0, errors=0)
            if passed.passes >= policy.success_threshold:
                return _turn(passed, HealthStatus.HEALTHY, now_ms)
            return passed
        in_grace = now_ms - self.started_ms < policy.grace_period_seconds * 1000
        if in_grace and self.status is HealthStatus.UNKNOWN:
            return replace(self, passes=0, errors=0)
        failed = replace(self, passes=0, failures=self.failures + 1, errors=0)
        if failed.failures >= policy.max_consecutive_failures:
            return _turn(failed, HealthStatus.UNHEALTHY, now_ms)
        return failed


def _turn(state: CheckState, status: HealthStatus, now_ms: int) -> CheckState:
    if status is state.status:
        return state
    return replace(state, status=status, since_ms=now_ms)


_WORST_FIRST = (HealthStatus.UNHEALTHY, HealthStatus.UNKNOWN, HealthStatus.STARTING)


def combine(results: Iterable[tuple[HealthResult, int]]) -> TaskHealth:
    """Return a task's health from the latest result of each check and since when its status holds."""
    pairs = tuple(results)
    live = [(r, since) for r, since in pairs if r.kind is CheckKind.LIVENESS]
    ready = [r for r, _ in pairs if r.kind is CheckKind.READINESS]
    found = {r.status for r, _ in live}
    healthy = HealthStatus.HEALTHY if live else HealthStatus.UNKNOWN
    status = next((word for word in _WORST_FIRST if word in found), healthy)
    # the moment it became so: the first check to be unhealthy, but the last one to be healthy
    times = [since for r, since in live if r.status is status]
    since = (max if status is HealthStatus.HEALTHY else min)(times, default=0)
    return TaskHealth(
        status,
        since,
        all(r.status is HealthStatus.HEALTHY for r in ready) if ready else None,
        tuple(r for r, _ in pairs),
    )
