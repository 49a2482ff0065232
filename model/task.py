"""The identity and the life of a task: what every sample, log line, check and alert carries.

The words are those of Mesos: a *framework* launches *tasks*; a task runs in a *container* on a
*host* and owns a *sandbox* directory. On plain Docker the framework is ``docker`` and task and
container are the same thing: a restarted container keeps its ids, and each start is a *run*.
Where the runtime makes a new id at each start (Mesos, pods, recreated containers), it is a new task.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from signal import Signals
from threading import Event
from types import MappingProxyType
from typing import NewType, Protocol

from msgspec import Struct

TaskID = NewType("TaskID", str)
ContainerID = NewType("ContainerID", str)


class TaskState(Enum):
    """Where a task stands in its life; the values are what users read."""

    STAGING = "staging"  # known to the runtime, not started yet
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"  # ended, the runtime will start it again
    FINISHED = "finished"  # ended with exit code 0
    FAILED = "failed"  # ended otherwise, or killed for want of memory
    KILLED = "killed"  # ended because somebody stopped it
    LOST = "lost"  # gone without a word (removed, unreachable)

    @property
    def ended(self) -> bool:
        """Whether the task will not go on by itself."""
        return self in _ENDED


_ENDED = frozenset({TaskState.FINISHED, TaskState.FAILED, TaskState.KILLED, TaskState.LOST})


class HealthStatus(Enum):
    """What is known of a task's health; ``unknown`` is a state of its own (no result yet, or none could be had)."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class TaskIdentity(Struct, frozen=True):
    """Who a task is. Equality is by value; what changes while it runs is ``TaskStatus``.

    Empty strings stand for what a runtime does not give. ``model.identity`` maps the fields to
    Prometheus labels, ECS fields and OpenTelemetry resource attributes.
    """

    cluster: str
    host: str
    framework: str
    namespace: str
    app: str
    task_name: str
    task_id: TaskID
    container_id: ContainerID
    container_name: str = ""
    image: str = ""


class Exit(Struct, frozen=True):
    """How a run ended.

    Attributes:
        code: Exit code; 128 + signal where a signal ended it; None where nobody knows.
        signal: Signal number, 0 for none.
        oom: Whether the kernel killed it for want of memory.
        reason: The runtime's own word or error, may be empty.
    """

    code: int | None
    signal: int = 0
    oom: bool = False
    reason: str = ""


def describe_exit(exit_: Exit) -> str:
    """Say how a run ended: ``exit code 137 (SIGKILL), out of memory``."""
    parts = [f"exit code {exit_.code}" if exit_.code is not None else "exit code unknown"]
    if exit_.signal:
        parts[0] += f" ({_signal_name(exit_.signal)})"
    if exit_.oom:
        parts.append("out of memory")
    if exit_.reason:
        parts.append(exit_.reason)
    return ", ".join(parts)


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


class Run(Struct, frozen=True):
    """One start of a task. Times are ms since the epoch, UTC; ``ended_ms`` and ``exit`` are None while it runs."""

    number: int
    started_ms: int
    ended_ms: int | None = None
    exit: Exit | None = None


class Port(Struct, frozen=True):
    """A port the task listens on: inside its network namespace and, where published, on the host (0 if not)."""

    container: int
    host: int = 0
    protocol: str = "tcp"
    name: str = ""


class TaskStatus(Struct, frozen=True):
    """What a task is doing now; replaced as a whole when it changes.

    Attributes:
        state: See TaskState.
        created_ms: When the runtime made the task; ms since the epoch.
        runs: The runs still remembered, oldest first; the last one is the current or latest.
        restarts: Starts beyond the first, also those no longer in ``runs``.
        oom_kills: Kills for want of memory over all runs, also of children that the task survived.
        runtime_health: What the runtime's own check says (Docker HEALTHCHECK, Mesos ``healthy``).
        pid: First process in the host's pid namespace, 0 if none.
        address: IP under which the host reaches the task ("" if none; 127.0.0.1 on host network).
        ports: Declared or published ports.
        log_path: The runtime's log file (json-file), "" if the driver keeps none.
        log_driver: The runtime's word (``json-file``, ``local``, ...), "" for sandboxes.
        sandbox: Directory with ``stdout`` and ``stderr``, "" if none.
        cgroup: Path below each controller's mount (v1) or below the unified mount (v2), "" if unknown.
        tty: Whether stdout is a terminal (Docker then has no stdout/stderr split).
        memory_limit_bytes: 0 for none.
        cpu_limit: CPUs, 0.0 for none.
        labels: The runtime's labels as they are; never exported whole, see ``model.task_labels``.
    """

    state: TaskState
    created_ms: int
    runs: tuple[Run, ...] = ()
    restarts: int = 0
    oom_kills: int = 0
    runtime_health: HealthStatus = HealthStatus.UNKNOWN
    pid: int = 0
    address: str = ""
    ports: tuple[Port, ...] = ()
    log_path: str = ""
    log_driver: str = ""
    sandbox: str = ""
    cgroup: str = ""
    tty: bool = False
    memory_limit_bytes: int = 0
    cpu_limit: float = 0.0
    labels: Mapping[str, str] = MappingProxyType({})

    @property
    def run(self) -> Run | None:
        """The current or latest run."""
        return self.runs[-1] if self.runs else None

    @property
    def started_ms(self) -> int:
        """Start of the current or latest run, 0 if it never started."""
        return self.runs[-1].started_ms if self.runs else 0

    @property
    def last_exit(self) -> Exit | None:
        """How the most recent ended run ended."""
        return next((run.exit for run in reversed(self.runs) if run.exit is not None), None)


class Task(Struct, frozen=True):
    """A task: who it is and what it is doing. Equality is by value, the hash is that of its id."""

    identity: TaskIdentity
    status: TaskStatus

    def __hash__(self) -> int:
        # sets of thousands of tasks are made at every change; hashing every field costs 30 times this
        return hash(self.identity.task_id)


class TaskSource(Protocol):
    """Finds out which tasks there are. Collectors, health checks and log shipping share one.

    Ended tasks stay in the set, with how they ended, for the source's retention time.
    """

    def snapshot(self) -> frozenset[Task]:
        """Return the full set of known tasks, without waiting."""
        ...

    def watch(self, stop: Event) -> Iterator[frozenset[Task]]:
        """Yield the full set of known tasks: at once, then after each change (within 0.1 s).

        A set, never a difference, so that a consumer that missed one is right again at the next.
        Ends when ``stop`` is set or the source is closed. Failures after the first listing are
        retried inside and counted in ``taskscope_discovery_failures_total``; while a runtime
        cannot be asked, its tasks stay as they were last seen.
        """
        ...
