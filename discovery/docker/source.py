"""The containers of one Docker Engine as tasks: its events as they come, a full listing now and then.

One thread takes events, inspects the containers they touch and publishes the outcome. A container
that lives 200 ms is inspected at its ``create`` and ``start``; should it be gone before that, the
events alone make a task of it. While Docker cannot be asked, all tasks stay as they were last seen.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Final

from discovery.docker.client import DockerClient, DockerError
from discovery.docker.container import Container
from discovery.docker.events import ACTIONS, ContainerEvent, EventQueue
from discovery.docker.history import History
from discovery.docker.inspect import Inspection, parse_inspection
from discovery.docker.listing import differs
from discovery.proc import cgroup_path
from discovery.source import SourceStatus, count_states
from model.clock import Clock, now_ms
from model.task import Task

_log = logging.getLogger(__name__)

_SAYS_LITTLE: Final = frozenset({"destroy", "kill", "stop", "oom"})  # of one never heard of
_INSPECT_AFTER: Final = frozenset(ACTIONS) - {"destroy", "kill", "health_status", "oom"}
_SHOW_SECONDS: Final = 0.5
_MAX_REMOVED: Final = 2000  # removed containers listed, whatever the retention time
_START_SECONDS: Final = 2.0  # a container that is created mostly starts within this
_SAVE_SECONDS: Final = 2.0  # at most one write of the history per this
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_FIRST_LISTING_SECONDS: Final = 1.0  # how long start() waits


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
        self._events: EventQueue | None = None
        self._stop = Event()
        self._listed = Event()
        self._thread: Thread | None = None
        self._changed: Callable[[], None] = lambda: None
        self._last_event_ns = 0
        self._created: dict[str, float] = {}  # when to look again
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
            self._last_event_ns = max(self._last_event_ns, container.last_event_ns)
        self._publish()
        self._thread = Thread(target=self._run, name="docker", daemon=True)
        self._thread.start()
        self._listed.wait(_FIRST_LISTING_SECONDS)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """See ``RuntimeSource.stop``."""
        self._stop.set()
        if self._events is not None:
            self._events.end()
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
        # opened before the listing, so that nothing falls between the two
        events = self._events = EventQueue(self._client, self._last_event_ns)
        try:
            self._list()
            list_at = self._clock.monotonic() + self._list_seconds
            while not self._stop.is_set():
                now = self._clock.monotonic()
                if now >= list_at:
                    self._list()
                    list_at = self._clock.monotonic() + self._list_seconds
                self._save()
                self._look_again()
                self._take(events.take(min(list_at - now, _SAVE_SECONDS)))
        finally:
            events.close()

    def _take(self, events: list[ContainerEvent]) -> None:
        touched: dict[str, None] = {}
        for event in events:
            self._last_event_ns = max(self._last_event_ns, event.at_ns)
            container = self._containers.get(event.container_id)
            if container is None:
                if event.action in _SAYS_LITTLE:
                    continue
                container = self._containers[event.container_id] = Container.unseen(
                    event.container_id,
                    event.attributes,
                    event.at_ns // 1_000_000,
                    cluster=self._cluster,
                    host=self._host,
                )
            container.event(event.action, event.attributes, event.at_ns)
            if event.action == "create":
                self._created[event.container_id] = self._clock.monotonic() + _START_SECONDS
            if event.action in _INSPECT_AFTER:
                touched[event.container_id] = None
        for container_id in touched:
            if not self._containers[container_id].removed:
                self._inspect(container_id)
        if events:
            self._publish()

    def _look_again(self) -> None:
        """Inspect what was created a while ago and did not start: of a failed start there is no event."""
        now = self._clock.monotonic()
        due = [name for name, at in self._created.items() if at <= now]
        for container_id in due:
            del self._created[container_id]
            container = self._containers.get(container_id)
            if container is not None and container.docker_state == "created":
                self._inspect(container_id)
        if due:
            self._publish()

    def _list(self) -> None:
        """Bring everything in line with Docker's own list; inspect only what looks different."""
        listing = self._client.get("/containers/json", {"all": "1"}) or []
        now = now_ms(self._clock)
        seen = set()
        shown = self._clock.monotonic()
        for entry in listing:
            if self._clock.monotonic() - shown > _SHOW_SECONDS:
                shown = self._clock.monotonic()
                self._publish()  # a first listing of thousands takes a while
            container_id = str(entry.get("Id", ""))
            seen.add(container_id)
            if differs(self._containers.get(container_id), entry):
                self._inspect(container_id)
        for container_id, container in self._containers.items():
            if container_id not in seen and not container.removed:
                container.gone(now)
        for container_id, container in self._containers.items():
            # the container whose network it shares may have been listed after it
            if container.network_of and not container.removed and not container.address:
                self._inspect(container_id)
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
        try:
            found = parse_inspection(answer or {})
        except (ValueError, TypeError, AttributeError) as error:
            # one odd container must not hide the others
            self._failures += 1
            _log.warning("Docker's answer on %s could not be understood: %r", container_id, error)
            return
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
        self._forget()
        oldest = now_ms(self._clock) - self._retention_ms
        new = frozenset(
            container.task
            for container in self._containers.values()
            if not container.ignored and not 0 < container.ended_ms < oldest
        )
        if new != self._tasks:
            self._tasks = new
            self._unsaved = True
            self._changed()
        elif listed:
            self._changed()  # the source's own state may have

    def _forget(self) -> None:
        """Forget what Docker no longer has and nobody needs to see: the old, and the oldest of too many."""
        gone = [(c.ended_ms, name) for name, c in self._containers.items() if c.removed]
        oldest = now_ms(self._clock) - self._retention_ms
        gone.sort(reverse=True)
        for position, (ended_ms, name) in enumerate(gone):
            if position >= _MAX_REMOVED or ended_ms < oldest:
                del self._containers[name]

    def _save(self, *, force: bool = False) -> None:
        now = self._clock.monotonic()
        if self._unsaved and (force or now >= self._save_at):
            self._unsaved = False
            self._save_at = now + _SAVE_SECONDS
            self._history.save(list(self._containers.values()))
