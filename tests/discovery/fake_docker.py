"""A Docker Engine made up for tests: the four answers discovery asks for, over a real unix socket."""

import contextlib
import copy
import json
import queue
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


def inspection(container_id: str, name: str = "shop-1", **state: Any) -> dict[str, Any]:
    """Return an inspection of a running container; keyword arguments are fields of its ``State``."""
    return {
        "Id": container_id,
        "Name": f"/{name}",
        "Created": "2026-01-01T00:00:00.5Z",
        "RestartCount": 0,
        "LogPath": f"/var/lib/docker/containers/{container_id}/{container_id}-json.log",
        "State": {
            "Status": "running",
            "Running": True,
            "OOMKilled": False,
            "Pid": 0,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": "2026-01-01T00:00:01.25Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
        }
        | state,
        "Config": {"Image": "shop:1", "Labels": {}, "Tty": False, "ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {"LogConfig": {"Type": "json-file"}, "NetworkMode": "bridge"},
        "NetworkSettings": {
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
        },
    }


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    engine: "FakeDocker"


class FakeDocker:
    """Serves ``containers`` (inspections by id) and the events that a test emits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, dict[str, Any]] = {}
        self.api = ("1.41", "1.12")
        self.asked: list[str] = []
        self.broken = False  # answers 500 to everything
        self._listeners: list[queue.SimpleQueue[bytes | None]] = []
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> "FakeDocker":
        self.path.unlink(missing_ok=True)
        self._server = _Server(str(self.path), _Handler)
        self._server.engine = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """End as a stopped daemon does: the stream ends, the socket refuses."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for listener in self._listeners:
            listener.put(None)
        self._listeners.clear()

    def add(self, container: dict[str, Any]) -> None:
        self.containers[container["Id"]] = container

    def emit(self, action: str, container_id: str, at_ms: int, **attributes: str) -> None:
        """Send an event to everybody who listens."""
        event = {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": container_id, "Attributes": attributes},
            "timeNano": at_ms * 1_000_000,
        }
        for listener in self._listeners:
            listener.put(json.dumps(event).encode() + b"\n")

    @property
    def listening(self) -> int:
        return len(self._listeners)

    def listen(self) -> "queue.SimpleQueue[bytes | None]":
        listener: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._listeners.append(listener)
        return listener


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        engine = self.server.engine
        engine.asked.append(self.path)
        parts = urlsplit(self.path)
        if engine.broken:
            self._answer(500, {"message": "broken"})
            return
        if parts.path == "/version":
            newest, oldest = engine.api
            answer = {"Version": "1.0", "ApiVersion": newest, "MinAPIVersion": oldest}
            self._answer(200, answer)
            return
        path = "/" + parts.path.split("/", 2)[2]
        if path == "/events":
            self._events(parse_qs(parts.query))
        elif path == "/containers/json":
            self._answer(200, [_line(c) for c in copy.deepcopy(list(engine.containers.values()))])
        else:
            found = engine.containers.get(path.split("/")[2])
            self._answer(200 if found else 404, found or {"message": "No such container"})

    def _events(self, query: dict[str, list[str]]) -> None:
        listener = self.server.engine.listen()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while (line := listener.get()) is not None:
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()

    def _answer(self, status: int, answer: object) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)


def _line(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container's line in the listing."""
    return {
        "Id": container["Id"],
        "Names": [container["Name"]],
        "State": container["State"]["Status"],
        "Status": "Up",
        "NetworkSettings": container["NetworkSettings"],
    }
