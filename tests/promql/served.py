"""Servers that the test scripts are run against."""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

ROOT = Path(__file__).parents[2]
TYPES = {
    1: "application/x-protobuf",
    2: "application/x-protobuf;proto=io.prometheus.write.v2.Request",
}


class Server(Protocol):
    """Takes remote write and answers queries.

    Attributes:
        ready_seconds: How long each fresh server took until it was ready.
    """

    ready_seconds: list[float]

    def fresh(self) -> None:
        """Be an empty server."""
        ...

    def write(self, body: bytes, version: int) -> None:
        """Take a request.

        Raises:
            RuntimeError: If it is refused.
        """
        ...

    def query(self, query: str, at_ms: int) -> tuple[int, Any]:
        """Return status and body of an instant query."""
        ...

    def query_range(self, query: str, start_ms: int, end_ms: int, step_ms: int) -> tuple[int, Any]:
        """Return status and body of a range query."""
        ...

    def stop(self) -> None:
        """End."""
        ...


class Http:
    """The requests, for whoever can send one."""

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Post."""
        raise NotImplementedError

    def write(self, body: bytes, version: int) -> None:
        headers = {"Content-Type": TYPES[version], "Content-Encoding": "snappy"}
        status, said = self.send("/api/v1/write", body, headers)
        if status != 204:
            raise RuntimeError(f"{status}: {said.decode()}")

    def query(self, query: str, at_ms: int) -> tuple[int, Any]:
        return self._ask("query", query=query, time=_seconds(at_ms))

    def query_range(self, query: str, start_ms: int, end_ms: int, step_ms: int) -> tuple[int, Any]:
        return self._ask(
            "query_range",
            query=query,
            start=_seconds(start_ms),
            end=_seconds(end_ms),
            step=_seconds(step_ms),
        )

    def _ask(self, name: str, **form: str) -> tuple[int, Any]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        status, said = self.send(f"/api/v1/{name}", urlencode(form).encode(), headers)
        return status, json.loads(said.decode(errors="replace"))


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3f}"


class Process(Http):
    """``taskscope server``, a new process for each block."""

    def __init__(self) -> None:
        self.ready_seconds: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="promqltest-"))
        self._port = 0

    def fresh(self) -> None:
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        began = time.monotonic()
        command = [sys.executable, "-m", "taskscope", "server", "--data-dir", str(self._folder)]
        command += ["--listen", f"127.0.0.1:{self._port}"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > began + 30:
                said = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"the server does not start: {said}")
            time.sleep(0.01)
        self.ready_seconds.append(time.monotonic() - began)
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        assert self._connection is not None, "the server has not been started"
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)


class InProcess(Http):
    """The server's store, engine and endpoints in this process; quick, and the same from the API on."""

    def __init__(self) -> None:
        self.ready_seconds: list[float] = []
        self._folder = Path(tempfile.mkdtemp(prefix="promqltest-"))
        self._store: Any = None
        self._client: Any = None
        self._number = 0

    def fresh(self) -> None:
        from prometheus_client import CollectorRegistry

        from promql.engine import Engine
        from storage.remote.receiver import RemoteWriteReceiver
        from storage.tsdb.db import Tsdb
        from storage.tsdb.settings import TsdbSettings
        from tests.fakes.clock import FakeClock
        from web.app import create_app
        from web.parts import Parts

        self._end()
        self._number += 1
        clock, registry = FakeClock(), CollectorRegistry()
        self._store = Tsdb(self._folder / str(self._number), TsdbSettings(), clock, registry)
        self._store.start()
        parts = Parts(
            clock=clock, version="test", exposition=lambda: b"", status=dict, engine=Engine(),
            queryable=self._store,
            remote_write=RemoteWriteReceiver(self._store, registry).ingest,
        )  # fmt: skip
        self._client = create_app(parts, registry).test_client()

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        answer = self._client.post(path, data=body, headers=headers)
        return answer.status_code, answer.data

    def _end(self) -> None:
        if self._store is not None:
            self._store.stop()

    def stop(self) -> None:
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)
