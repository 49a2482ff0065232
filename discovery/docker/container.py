"""One container as a task: what events and inspections make of it, step by step; no I/O."""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from discovery.docker.identity import container_identity
from discovery.docker.inspect import Inspection, health_of
from discovery.docker.runs import Runs
from discovery.labels import ignored
from model.task import Task, TaskIdentity, TaskState, TaskStatus

# Signals that ask a process to end; a `kill -s HUP` before an exit weeks later is no stop.
_STOP_SIGNALS: Final = {2, 3, 6, 9, 15}
# Exit codes of a death by INT, KILL or TERM: somebody stopped it, where no event was seen.
_STOP_CODES: Final = {130, 137, 143}
_STATES: Final = {
    "created": TaskState.STAGING,
    "running": TaskState.RUNNING,
    "paused": TaskState.PAUSED,
    "restarting": TaskState.RESTARTING,
}


class Container:
    """A container, alive, ended or removed. ``task`` is made anew after each change.

    Attributes:
        task: What the world sees of it.
        removed: Whether Docker no longer has it.
        ignored: Whether it asked not to be observed.
        docker_state: Docker's last word for its state.
        network_of: Id of the container whose network it shares, "" for none.
        last_event_ns: Time of the newest event taken in; older ones are repeats.
    """

    def __init__(self, identity: TaskIdentity, status: TaskStatus) -> None:
        self._identity = identity
        self._status = status
        self._runs = Runs(status.runs, status.oom_kills)
        self._stop_asked = status.state is TaskState.KILLED
        self._watched = False  # whether the latest run's end would have been seen as an event
        self._error = ""
        self._restart_count = status.restarts
        self._ended_ms = 0  # removal, for what never ran
        self.removed = False
        self.ignored = ignored(status.labels)
        self.docker_state = ""
        self.network_of = ""
        self.last_event_ns = 0
        self.task = Task(identity, status)

    @classmethod
    def unseen(
        cls,
        container_id: str,
        attributes: Mapping[str, str],
        at_ms: int,
        *,
        cluster: str,
        host: str,
    ) -> "Container":
        """Make one from an event's attributes alone; Docker puts the labels among them."""
        identity = container_identity(
            container_id,
            attributes.get("name", ""),
            attributes.get("image", ""),
            attributes,
            cluster=cluster,
            host=host,
        )
        labels = {k: v for k, v in attributes.items() if k not in {"name", "image", "exitCode"}}
        return cls(identity, TaskStatus(TaskState.STAGING, at_ms, labels=labels))

    @property
    def address(self) -> str:
        """Where the host reaches it, "" if nowhere."""
        return self._status.address

    @property
    def ended_ms(self) -> int:
        """When it ended, for the retention time; 0 while it has not."""
        if not self.task.status.state.ended:
            return 0
        run = self.task.status.run
        return max((run.ended_ms or 0) if run else 0, self._ended_ms) or self._status.created_ms

    def event(self, action: str, attributes: Mapping[str, str], at_ns: int) -> None:
        """Take an event; repeats (after a reconnection) change nothing."""
        if at_ns <= self.last_event_ns:
            return
        self.last_event_ns = at_ns
        at_ms = at_ns // 1_000_000
        word, _, rest = action.partition(": ")
        match word:
            case "start":
                self._runs.started(at_ms)
                self._stop_asked = False
                self._watched = True
                self.docker_state = "running"
            case "kill":
                signal = attributes.get("signal", "")
                self._stop_asked |= not signal.isdigit() or int(signal) in _STOP_SIGNALS
            case "oom":
                self._runs.oom(at_ms)
            case "die":
                code = attributes.get("exitCode", "")
                number = int(code) if code.isdigit() else None
                self._runs.died(at_ms, number, stopped=self._stop_asked)
                self._watched = True
                self.docker_state = "exited"
            case "health_status":
                self._status = replace(self._status, runtime_health=health_of(rest))
            case "destroy":
                self.gone(at_ms)
            case _:
                pass
        self._renew()

    def inspected(
        self, found: Inspection, *, cluster: str, host: str, cgroup: str, address: str
    ) -> None:
        """Take an inspection; ``cgroup`` is "" if its process could not be looked at."""
        self._identity = container_identity(
            found.container_id, found.name, found.image, found.labels, cluster=cluster, host=host
        )
        self.ignored = ignored(found.labels)
        self.docker_state = found.docker_state
        self.network_of = found.network_of
        self._error = found.error
        self._restart_count = max(self._restart_count, found.restart_count)
        self._runs.inspected(
            found.started_ms,
            found.finished_ms,
            running=found.running,
            code=found.exit_code,
            oom=found.oom_killed,
            reason=found.error,
            restart_count=found.restart_count,
            stopped=self._stop_asked,
        )
        old = self._status
        self._status = replace(
            old,
            created_ms=found.created_ms or old.created_ms,
            runtime_health=found.health,
            pid=found.pid,
            # what an ended container no longer has stays as it was last seen
            address=address or old.address,
            ports=found.ports or old.ports,
            log_path=found.log_path or old.log_path,
            log_driver=found.log_driver or old.log_driver,
            cgroup=cgroup or old.cgroup,
            tty=found.tty,
            memory_limit_bytes=found.memory_limit_bytes,
            cpu_limit=found.cpu_limit,
            labels=found.labels,
        )
        self._renew()

    def gone(self, at_ms: int) -> None:
        """Docker no longer has it."""
        self.removed = True
        self._runs.lost(at_ms)
        if self.task.status.state not in {TaskState.FAILED, TaskState.FINISHED}:
            self._ended_ms = self._ended_ms or at_ms
        self.docker_state = "exited"
        self._renew()

    def _renew(self) -> None:
        runs = self._runs.all()
        state = self._state()
        status = replace(
            self._status,
            state=state,
            runs=runs,
            restarts=max(self._restart_count, self._runs.last_number - 1, 0),
            oom_kills=self._runs.oom_kills,
            pid=self._status.pid if state in {TaskState.RUNNING, TaskState.PAUSED} else 0,
        )
        self._status = status
        if status != self.task.status or self._identity != self.task.identity:
            self.task = Task(self._identity, status)

    def _state(self) -> TaskState:
        known = _STATES.get(self.docker_state)
        if known is TaskState.STAGING and self._error:
            return TaskState.FAILED  # it could not be started
        if known is not None:
            return known
        runs = self._runs.all()
        if not self.docker_state:
            return self._status.state
        if not runs:
            return TaskState.KILLED  # removed before it ever ran
        end = runs[-1].exit
        if end is None or end.code is None:
            return TaskState.LOST
        if end.oom:
            return TaskState.FAILED
        if self._stop_asked or (not self._watched and end.code in _STOP_CODES):
            return TaskState.KILLED
        return TaskState.FINISHED if end.code == 0 else TaskState.FAILED
