"""Health results: what a probe found and when a task's health changed."""

from collections.abc import Mapping
from enum import Enum
from typing import Final, Protocol

from msgspec import Struct

from model.task import HealthStatus, TaskID, TaskIdentity

MAX_OUTPUT_BYTES: Final = 4096  # of what a probe said; as much as Docker keeps of a HEALTHCHECK


class Probe(Enum):
    """What one probe gave. ERROR: the prober itself failed, which says nothing about the task."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"


class CheckKind(Enum):
    """Liveness says whether the task works; readiness whether it should get traffic."""

    LIVENESS = "liveness"
    READINESS = "readiness"


class HealthResult(Struct, frozen=True):
    """The outcome of one probe and the state it led to.

    Attributes:
        identity: The task probed.
        check: Name of the check, unique within the task.
        kind: Liveness or readiness.
        probe: What this probe gave.
        status: The check's state after it.
        changed: Whether ``status`` differs from before this probe.
        at_ms: When the probe started, ms since the epoch.
        duration_seconds: How long it took.
        failures: Consecutive failures, this one included.
        output: What it said, at most MAX_OUTPUT_BYTES of UTF-8, redacted; may be empty.
    """

    identity: TaskIdentity
    check: str
    kind: CheckKind
    probe: Probe
    status: HealthStatus
    changed: bool
    at_ms: int
    duration_seconds: float
    failures: int
    output: str


class TaskHealth(Struct, frozen=True):
    """A task's health over all its liveness checks, for lists and pages.

    ``unhealthy`` if any check is, else ``unknown`` if any is, else ``starting`` if any is, else
    ``healthy``; ``unknown`` without checks. ``ready`` is None without readiness checks.
    """

    status: HealthStatus
    since_ms: int
    ready: bool | None = None
    checks: tuple[HealthResult, ...] = ()


class HealthSource(Protocol):
    """Knows the health of every task that has checks."""

    def healths(self) -> Mapping[TaskID, TaskHealth]:
        """Return the health by task id, without waiting."""
        ...
