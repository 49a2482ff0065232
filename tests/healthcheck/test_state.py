"""The health state machine, by histories of probes in a small notation."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthcheck.check import Policy
from healthcheck.state import CheckState, combine
from model.health import CheckKind, HealthResult, Probe
from model.task import HealthStatus
from tests.fakes.tasks import SHOP

PROBES = {"+": Probe.PASS, "-": Probe.FAIL, "!": Probe.ERROR}


def play(probes: str, policy: Policy) -> list[CheckState]:
    """Play ``20- 30+ 40!``: failed 20 s after the start, passed, could not be made."""
    state, states = CheckState(started_ms=1000), []
    for word in probes.split():
        at, kind = re.fullmatch(r"([\d.]+)([-+!])", word).groups()  # type: ignore[union-attr]  # scripts are ours
        state = state.step(policy, PROBES[kind], 1000 + int(float(at) * 1000))
        states.append(state)
    return states


@pytest.mark.parametrize(
    ("probes", "want"),
    [
        ("20+", "healthy"),
        ("20-", "unknown"),
        ("20- 30-", "unknown"),  # two are not three
        ("20- 30- 40-", "unhealthy"),
        ("1- 2- 3- 4-", "unknown"),  # within the grace period
        ("1- 2- 3- 20-", "unknown"),  # ... they are forgotten, too
        ("1- 2- 20- 30- 40-", "unhealthy"),
        ("1+", "healthy"),  # a pass counts at once
        ("1+ 2- 3- 4-", "unhealthy"),  # the first pass ends the grace period (Mesos)
        ("20- 30! 40- 50-", "unhealthy"),  # the prober's own error does not count
        ("20- 30- 40!", "unknown"),
        ("20! 30! 40!", "unknown"),
        ("20+ 30! 40!", "healthy"),  # health stays as it was
        ("20+ 30! 40! 50!", "unknown"),  # until nobody has known for long
        ("20- 30- 40- 50! 60! 70!", "unknown"),
        ("20+ 30! 40! 50! 60-", "unknown"),
        ("20+ 30! 40! 50! 60- 70- 80-", "unhealthy"),
        ("20+ 30! 40! 50! 60+", "healthy"),
        ("20- 30- 40+ 50-", "healthy"),
        ("20- 30- 40- 50+", "healthy"),
        ("20+ 30- 40- 50+ 60- 70-", "healthy"),  # not in a row
        ("20+ 30- 40- 50-", "unhealthy"),
    ],
)
def test_probe_history_gives_status(probes: str, want: str) -> None:
    """With Mesos' defaults a history of probes leads to the status that Mesos would give, errors apart."""
    assert play(probes, Policy())[-1].status.value == want


@pytest.mark.parametrize(
    ("probes", "want"),
    [
        ("20+", "unknown"),
        ("20+ 30+", "healthy"),
        ("20+ 30- 40+", "unhealthy"),
        ("20+ 30! 40+", "healthy"),
        ("20- 30+ 40+ 50-", "unhealthy"),
        ("20- 30+", "unhealthy"),
    ],
)
def test_thresholds(probes: str, want: str) -> None:
    """Two passes make healthy, one failure unhealthy, where the policy says so."""
    policy = Policy(success_threshold=2, max_consecutive_failures=1)

    assert play(probes, policy)[-1].status.value == want


def test_since_is_the_moment_of_the_turn() -> None:
    """``since_ms`` moves when the status does and at no other time."""
    states = play("20+ 30+ 40- 50- 60- 70-", Policy())

    assert [s.since_ms for s in states] == [21000, 21000, 21000, 21000, 61000, 61000]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("+-!"), max_size=40),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_unhealthy_needs_its_failures(kinds: list[str], failures: int, passes: int) -> None:
    """A task is unhealthy only after enough failures with no pass between, and errors alone never make it so."""
    policy = Policy(max_consecutive_failures=failures, success_threshold=passes)
    script = " ".join(f"{20 + n}{kind}" for n, kind in enumerate(kinds))
    seen: list[str] = []
    before = HealthStatus.UNKNOWN
    for kind, state in zip(kinds, play(script, policy), strict=True):
        seen.append(kind)
        told = "".join(k for k in seen if k != "!")
        if state.status is HealthStatus.UNHEALTHY and before is not HealthStatus.UNHEALTHY:
            assert told.endswith("-" * failures)
        if state.status is HealthStatus.HEALTHY and before is not HealthStatus.HEALTHY:
            assert told.endswith("+" * passes)
        if kind == "!":
            assert state.status in {before, HealthStatus.UNKNOWN}
        before = state.status


def result(status: str, kind: CheckKind = CheckKind.LIVENESS) -> HealthResult:
    """Return a result whose check stands at a status."""
    return HealthResult(SHOP, "c", kind, Probe.PASS, HealthStatus(status), False, 1, 0.1, 0, "")


@pytest.mark.parametrize(
    ("checks", "want"),
    [
        ("", "unknown"),
        ("healthy@5", "healthy@5"),
        ("healthy@5 healthy@9", "healthy@9"),
        ("healthy@5 unhealthy@7 unhealthy@6", "unhealthy@6"),
        ("healthy@5 unknown@2", "unknown@2"),
        ("unhealthy@5 unknown@2", "unhealthy@5"),
        ("starting@5 unknown@2", "unknown@2"),
        ("starting@5 healthy@2", "starting@5"),
    ],
)
def test_health_of_a_task_is_that_of_its_worst_check(checks: str, want: str) -> None:
    """Unhealthy before unknown before starting before healthy, with the moment it became so."""
    pairs = [word.split("@") for word in checks.split()]
    health = combine([(result(status), int(since)) for status, since in pairs])
    since = f"@{health.since_ms}" if checks else ""

    assert health.status.value + since == want


@pytest.mark.parametrize(
    ("ready", "want"),
    [
        ([], None),
        (["healthy"], True),
        (["healthy", "unknown"], False),
        (["healthy", "unhealthy"], False),
    ],
)
def test_readiness_is_apart_from_health(ready: list[str], want: bool | None) -> None:
    """A task that is not ready is healthy all the same."""
    pairs = [(result("healthy"), 1)]
    pairs += [(result(status, CheckKind.READINESS), 1) for status in ready]
    health = combine(pairs)

    assert health.ready is want
    assert health.status is HealthStatus.HEALTHY
