"""Docker's stream of container events, read by a thread into a queue."""

import json
import logging
import queue
from threading import Thread
from typing import Any, Final

from msgspec import Struct

from discovery.docker.client import DockerClient, DockerError

_log = logging.getLogger(__name__)

# exec_* is left out: each HEALTHCHECK makes three of them
ACTIONS: Final = (
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
)


class ContainerEvent(Struct, frozen=True):
    """One event of one container; ``action`` is Docker's (``die``, ``health_status: healthy``)."""

    container_id: str
    action: str
    attributes: dict[str, str]
    at_ns: int


class EventQueue:
    """The events of one connection.

    Args:
        client: Where to ask.
        since_ns: Also what happened after this moment; Docker keeps its last 256 events. 0 for no more
            than what happens from now on.

    Raises:
        DockerError: If Docker cannot be asked.
    """

    def __init__(self, client: DockerClient, since_ns: int = 0) -> None:
        query = {"filters": json.dumps({"type": ["container"], "event": ACTIONS})}
        if since_ns:
            query["since"] = f"{since_ns // 10**9}.{since_ns % 10**9:09d}"
        self._stream = client.stream("/events", query)
        self._queue: queue.SimpleQueue[ContainerEvent | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._read, name="docker-events", daemon=True)
        self._thread.start()

    def take(self, timeout_seconds: float) -> list[ContainerEvent]:
        """Return the events that are there, waiting for the first.

        Raises:
            DockerError: If there are none any more.
        """
        found: list[ContainerEvent] = []
        try:
            item = self._queue.get(timeout=max(timeout_seconds, 0.001))
            while item is not None:
                found.append(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            return found
        self._queue.put(None)  # for the next call: first what came before the end
        if found:
            return found
        raise DockerError("Docker ended its stream of events (was it stopped?)")

    def end(self) -> None:
        """Wake who waits; ``take`` then raises."""
        self._queue.put(None)

    def close(self) -> None:
        """End the connection and its thread."""
        self._stream.close()
        self._thread.join(2.0)

    def _read(self) -> None:
        try:
            for line in self._stream.lines():
                event = parse_event(line)
                if event is not None:
                    self._queue.put(event)
        except (DockerError, TimeoutError) as error:
            _log.debug("event stream: %s", error)
        finally:
            self._queue.put(None)


def parse_event(line: bytes) -> ContainerEvent | None:
    """Read one line of the stream; None if it is no event of a container."""
    try:
        event = json.loads(line)
        actor: dict[str, Any] = event["Actor"]
        found = ContainerEvent(
            str(actor["ID"]),
            str(event.get("Action", "")),
            {str(k): str(v) for k, v in (actor.get("Attributes") or {}).items()},
            int(event.get("timeNano") or int(event.get("time") or 0) * 10**9),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found.container_id else None
