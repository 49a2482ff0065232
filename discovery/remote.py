"""Tasks from agents to the server: ``taskscope agent`` pushes what it knows, ``taskscope server`` keeps it."""

import http.client
import logging
from collections.abc import Callable, Mapping
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from discovery.source import RuntimeSource, SourceStatus, count_states
from discovery.wire import AgentState, decode, encode_state
from model.clock import Clock
from model.errors import reason_of
from model.health import HealthSource, TaskHealth
from model.task import Task, TaskID, TaskSource

_log = logging.getLogger(__name__)

PATH: Final = "/api/agent/state"
PUSH_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 60.0
_GATHER_SECONDS: Final = 0.1  # changes come in bursts
_TIMEOUT_SECONDS: Final = 5.0


class StatePusher:
    """Sends all tasks and healths of this host after each change of a task, and every few seconds.

    The whole each time, so a push that failed is made good by the next.

    Args:
        url: Of the server, like ``http://127.0.0.1:9800``.
        tasks: This host's tasks.
        healths: Their healths.
        host: This host's name, as in the tasks' identities.
        push_seconds: Longest time between pushes.
    """

    def __init__(
        self,
        url: str,
        tasks: TaskSource,
        healths: HealthSource,
        host: str,
        *,
        push_seconds: float = PUSH_SECONDS,
    ) -> None:
        parts = urlsplit(url)
        self._url = url
        self._https = parts.scheme == "https"
        self._netloc = parts.netloc
        self._path = parts.path.rstrip("/") + PATH
        self._tasks = tasks
        self._healths = healths
        self._host = host
        self._push_seconds = push_seconds
        self._stop = Event()
        self._dirty = Event()
        self._threads: list[Thread] = []
        self._problem = ""
        self._failures = 0

    def start(self) -> None:
        """Begin to push."""
        self._threads = [
            Thread(target=self._watch, name="state-watch", daemon=True),
            Thread(target=self._run, name="state-push", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Push once more and end; safe twice and before ``start``."""
        self._stop.set()
        self._dirty.set()
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(timeout_seconds)

    def status(self) -> SourceStatus:
        """Return how pushing goes."""
        message = self._problem or f"tasks of {self._host} go to {self._url}"
        return SourceStatus("push", not self._problem, message, failures=self._failures)

    def _watch(self) -> None:
        for _ in self._tasks.watch(self._stop):
            self._dirty.set()

    def _run(self) -> None:
        while True:
            stopping = self._stop.is_set()
            self._dirty.clear()
            try:
                self._push()
                self._problem = ""
            except (OSError, http.client.HTTPException) as error:
                if not self._problem:
                    _log.warning("%s does not take our tasks: %s", self._url, reason_of(error))
                self._failures += 1
                self._problem = f"{self._url} does not take our tasks: {reason_of(error)}"
            except Exception as error:
                _log.exception("pushing tasks goes on after an error of its own")
                self._failures += 1
                self._problem = f"tasks could not be pushed: {error!r}"
            if stopping:
                return
            if self._dirty.wait(self._push_seconds):
                self._stop.wait(_GATHER_SECONDS)

    def _push(self) -> None:
        body = encode_state(self._tasks.snapshot(), self._healths.healths(), self._host)
        kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
        connection = kind(self._netloc, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(
                "POST", self._path, body=body, headers={"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            text = response.read(1000)
            if response.status >= 300:
                raise http.client.HTTPException(
                    f"{response.status} {text.decode(errors='replace')}"
                )
        finally:
            connection.close()


class _Host(Struct, frozen=True):
    tasks: frozenset[Task]
    healths: Mapping[TaskID, TaskHealth]
    heard: float  # on the monotonic clock


class PushedTasks:
    """What agents have pushed: a ``RuntimeSource`` for the registry and a ``model.health.HealthSource``.

    The tasks of a host that is silent stay as they were last seen; ``status`` says so.

    Args:
        clock: Tells the time.
        silent_seconds: After how long a host counts as silent.
    """

    def __init__(self, clock: Clock, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self.name = "agents"
        self._clock = clock
        self._silent_seconds = silent_seconds
        self._lock = Lock()
        self._hosts: dict[str, _Host] = {}
        self._tasks: frozenset[Task] = frozenset()
        self._healths: dict[TaskID, TaskHealth] = {}
        self._changed: Callable[[], None] | None = None
        self._failures = 0

    def start(self, changed: Callable[[], None]) -> None:
        """See ``RuntimeSource.start``."""
        self._changed = changed

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """See ``RuntimeSource.stop``."""
        self._changed = None

    def ingest(self, body: bytes) -> None:
        """Take what an agent posted.

        Raises:
            DiscoveryError: If it is not readable or of another version; nothing changes then.
        """
        try:
            state = decode(body, AgentState)
        except Exception:
            self._failures += 1
            raise
        healths = {TaskID(task_id): health for task_id, health in state.healths.items()}
        with self._lock:
            self._hosts[state.host] = _Host(
                frozenset(state.tasks), healths, self._clock.monotonic()
            )
            tasks = frozenset().union(*(host.tasks for host in self._hosts.values()))
            merged: dict[TaskID, TaskHealth] = {}
            for host in self._hosts.values():
                merged.update(host.healths)
            self._healths = merged
            moved = tasks != self._tasks
            if moved:
                self._tasks = tasks
        if moved and self._changed is not None:
            self._changed()

    def snapshot(self) -> frozenset[Task]:
        """See ``RuntimeSource.snapshot``."""
        return self._tasks

    def healths(self) -> Mapping[TaskID, TaskHealth]:
        """See ``model.health.HealthSource``."""
        return self._healths

    def status(self) -> SourceStatus:
        """See ``RuntimeSource.status``."""
        now = self._clock.monotonic()
        with self._lock:
            ages = {name: now - host.heard for name, host in self._hosts.items()}
        silent = {name: age for name, age in ages.items() if age > self._silent_seconds}
        message = f"{len(ages)} agents" if ages else "no agent has reported yet"
        if silent:
            names = ", ".join(f"{name} ({age:.0f} s)" for name, age in sorted(silent.items()))
            message += f"; silent, their tasks stay as they were last seen: {names}"
        counts = count_states(self._tasks)
        return SourceStatus(self.name, not silent, message, counts, self._failures)


if TYPE_CHECKING:
    _source: type[RuntimeSource] = PushedTasks
    _healths: type[HealthSource] = PushedTasks
