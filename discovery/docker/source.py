"""The containers of one Docker Engine as tasks: its events as they come, a full listing now and then.

One thread reads the event stream into a queue, another takes events from it, inspects the
containers they touch and publishes the outcome. A container that lives 200 ms is inspected at its
`create` and `start`; should it be gone before that, the events alone make a task of it. While
Docker cannot be asked, all tasks stay as they were last seen.
"""

import json
import logging
import queue
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

from discovery.docker.client import DockerClient, DockerError, DockerStream
from discovery.docker.container import Container
from discovery.docker.history import History
from discovery.docker.inspect import Inspection, parse_inspection
from discovery.proc import cgroup_path
from discovery.source import SourceStatus, count_states
from model.clock import Clock, now_ms
from model.task import HealthStatus, Task

_log = logging.getLogger(__name__)

# exec_* is left out: each HEALTHCHECK makes three of them
_EVENTS: Final = [
    "create",
    "start",
    "restart",
    "die",
    "oom",
    "kill",
    "stop",
    "destroy",
    "pause",
    "unpause",
    "rename",
    "update",
    "health_status",
]
_INSPECT_AFTER: Final = frozenset(_EVENTS) - {"destroy", "kill", "health_status", "oom"}
_SAVE_SECONDS: Final = 2.0  # at most one write of the history per this
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_FIRST_LISTING_SECONDS: Final = 1.0  # how long start() waits
_END: Final = None  # in the queue: the stream is over


class DockerSource:
    """See ``discovery.source.RuntimeSource``.

    Args:
        client: Of the engine to watch.
        cluster: Identity of every task, unless a label says otherwise.
        host: Identity of every task.
        clock: Tells the time.
        state_file: Where ended containers are remembered; None for nowhere.
        retention_seconds: How long ended ones stay listed.
        list_seconds: Between full listings.
        proc: Where the host's /proc is.
    """

    def __init__(
        self,
        client: DockerClient,
        *,
        cluster: str,
        host: str,
        clock: Clock,
        state_file: Path | None = None,
        retention_seconds: float = 86_400.0,
        list_seconds: float = 30.0,
        proc: Path = Path("/proc"),
    ) -> None:
        self.name = "docker"
        self._client = client
        self._cluster, self._host = cluster, host
        self._clock = clock
        self._history = History(state_file)
        self._retention_ms = retention_seconds * 1000
        self._list_seconds = list_seconds
        self._proc = proc
        self._containers: dict[str, Container] = {}
        self._tasks: frozenset[Task] = frozenset()
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._stream: DockerStream | None = None
        self._stop = Event()
        self._listed = Event()
        self._thread: Thread | None = None
        self._changed: Callable[[], None] = _nothing
        self._last_event_ns = 0
        self._unsaved = False
        self._save_at = 0.0
        self._ok = False
        self._message = "Docker was not asked yet"
        self._engine = ""
        self._failures = 0

    def start(self, changed: Callable[[], None]) -> None:
        """See ``RuntimeSource.start``."""
        self._changed = changed
        for container in self._history.load():
            self._containers[container.task.identity.container_id] = container
        self._publish()
        self._thread = Thread(target=self._run, name="docker", daemon=True)
        self._thread.start()
        self._listed.wait(_FIRST_LISTING_SECONDS)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """See ``RuntimeSource.stop``."""
        self._stop.set()
        self._queue.put(_END)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout_seconds)

    def snapshot(self) -> frozenset[Task]:
        """See ``RuntimeSource.snapshot``."""
        return self._tasks

    def status(self) -> SourceStatus:
        """See ``RuntimeSource.status``."""
        tasks = self._tasks
        message = self._message
        if self._ok:
            running = sum(not t.status.state.ended for t in tasks)
            message = f"Docker {self._engine}: {running} containers, {len(tasks) - running} ended"
        if self._history.problem:
            message = f"{message}; {self._history.problem}"
        return SourceStatus(self.name, self._ok, message, count_states(tasks), self._failures)

    def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            try:
                self._session()
            except DockerError as error:
                self._failed(str(error))
            except Exception as error:
                _log.exception("the Docker source goes on after an error of its own")
                self._failed(f"Docker's answers could not be understood: {error!r}")
            if self._listed.is_set():
                tries = 0
                self._listed.clear()
            self._save(force=True)
            if not self._stop.is_set():
                self._stop.wait(_BACKOFF_SECONDS[min(tries, len(_BACKOFF_SECONDS) - 1)])
                tries += 1

    def _failed(self, message: str) -> None:
        if self._stop.is_set():
            return
        if self._ok or not self._failures:
            _log.warning("%s; tasks stay as they were last seen", message)
        self._failures += 1
        self._ok = False
        self._message = f"{message}; its tasks stay as they were last seen"
        self._changed()

    def _session(self) -> None:
        """Follow one connection until it breaks.

        Raises:
            DockerError: When it does.
        """
        self._engine = str(self._client.negotiate().get("Version", ""))
        stream = self._stream = self._open_events()
        events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._queue = events
        reader = Thread(target=_read, args=(stream, events), name="docker-events", daemon=True)
        reader.start()
        try:
            self._list()
            list_at = self._clock.monotonic() + self._list_seconds
            while not self._stop.is_set():
                now = self._clock.monotonic()
                if now >= list_at:
                    self._list()
                    list_at = self._clock.monotonic() + self._list_seconds
                self._save()
                self._take(self._wait(min(list_at - now, _SAVE_SECONDS)))
        finally:
            stream.close()
            reader.join(2.0)

    def _open_events(self) -> DockerStream:
        query = {"filters": json.dumps({"type": ["container"], "event": _EVENTS})}
        if self._last_event_ns:
            # Docker keeps the last 256 events: what happened while we were away
            seconds, nanos = divmod(self._last_event_ns, 10**9)
            query["since"] = f"{seconds}.{nanos:09d}"
        return self._client.stream("/events", query)

    def _wait(self, timeout_seconds: float) -> list[dict[str, Any]]:
        """Return the events that are there, waiting for the first.

        Raises:
            DockerError: If the stream is over.
        """
        found: list[dict[str, Any]] = []
        try:
            item = self._queue.get(timeout=max(timeout_seconds, 0.01))
            while item is not _END:
                found.append(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            return found
        if found and not self._stop.is_set():
            self._queue.put(_END)  # first what came before the end
            return found
        raise DockerError("Docker ended its stream of events (was it stopped?)")

    def _take(self, events: list[dict[str, Any]]) -> None:
        touched: dict[str, None] = {}
        for event in events:
            actor = event.get("Actor") or {}
            container_id, attributes = str(actor.get("ID", "")), actor.get("Attributes") or {}
            at_ns = int(event.get("timeNano") or 0)
            action = str(event.get("Action", ""))
            if not container_id:
                continue
            self._last_event_ns = max(self._last_event_ns, at_ns)
            container = self._containers.get(container_id)
            if container is None:
                container = self._containers[container_id] = Container.unseen(
                    container_id,
                    attributes,
                    at_ns // 1_000_000,
                    cluster=self._cluster,
                    host=self._host,
                )
            container.event(action, attributes, at_ns)
            if action in _INSPECT_AFTER:
                touched[container_id] = None
        for container_id in touched:
            if not self._containers[container_id].removed:
                self._inspect(container_id)
        if events:
            self._publish()

    def _list(self) -> None:
        """Bring everything in line with Docker's own list; inspect only what looks different."""
        listing = self._client.get("/containers/json", {"all": "1"}) or []
        now = now_ms(self._clock)
        seen = set()
        for entry in listing:
            container_id = str(entry.get("Id", ""))
            seen.add(container_id)
            if _differs(self._containers.get(container_id), entry):
                self._inspect(container_id)
        for container_id, container in self._containers.items():
            if container_id not in seen and not container.removed:
                container.gone(now)
        self._ok = True
        self._listed.set()
        self._publish(listed=True)

    def _inspect(self, container_id: str) -> None:
        """Look at one container; one that is gone already stays as its events made it."""
        try:
            answer = self._client.get(f"/containers/{container_id}/json")
        except DockerError as error:
            if error.status == 404:
                return
            raise
        found = parse_inspection(answer or {})
        container = self._containers.get(container_id)
        if container is None:
            container = self._containers[container_id] = Container.unseen(
                container_id, {}, found.created_ms, cluster=self._cluster, host=self._host
            )
        container.inspected(
            found,
            cluster=self._cluster,
            host=self._host,
            cgroup=cgroup_path(found.pid, self._proc, within=container_id),
            address=self._address(found),
        )

    def _address(self, found: Inspection) -> str:
        other = self._containers.get(found.network_of)
        return other.task.status.address if other else found.address

    def _publish(self, *, listed: bool = False) -> None:
        now = now_ms(self._clock)
        tasks = []
        for container_id, container in list(self._containers.items()):
            expired = 0 < container.ended_ms < now - self._retention_ms
            if expired and container.removed:
                del self._containers[container_id]
            elif not expired and not container.ignored:
                tasks.append(container.task)
        new = frozenset(tasks)
        if new != self._tasks:
            self._tasks = new
            self._unsaved = True
            self._changed()
        elif listed:
            self._changed()  # the source's own state may have

    def _save(self, *, force: bool = False) -> None:
        now = self._clock.monotonic()
        if self._unsaved and (force or now >= self._save_at):
            self._unsaved = False
            self._save_at = now + _SAVE_SECONDS
            self._history.save(list(self._containers.values()))


def _nothing() -> None:
    """Stand in for a listener before there is one."""


def _read(stream: DockerStream, events: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    """Put the events of a stream into a queue, at last the end mark."""
    try:
        for line in stream.lines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                events.put(event)
    except DockerError as error:
        _log.debug("event stream: %s", error)
    finally:
        events.put(_END)


def _differs(container: Container | None, entry: dict[str, Any]) -> bool:
    """Whether a container must be inspected, judged by its line in the listing."""
    if container is None or container.removed or container.docker_state != entry.get("State"):
        return True
    status = container.task.status
    names = {str(name).removeprefix("/") for name in entry.get("Names") or ()}
    if names and container.task.identity.container_name not in names:
        return True
    if entry.get("State") != "running":
        return False
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = {n.get("IPAddress") for n in networks.values() if isinstance(n, dict)} - {"", None}
    text = str(entry.get("Status", ""))
    health = next((h for h in HealthStatus if f"({h.value})" in text), HealthStatus.UNKNOWN)
    if "(health: starting)" in text:
        health = HealthStatus.STARTING
    moved = bool(addresses) and status.address not in addresses
    return moved or health is not status.runtime_health
