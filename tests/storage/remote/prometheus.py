"""A real Prometheus for the tests that need one."""

import http.client
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.needs import leave_out

CONFIG: Final = """
storage:
  tsdb:
    out_of_order_time_window: {window}
"""


def find() -> str:
    """Return the program; leave the test out where it is not there, or too old."""
    path = shutil.which("prometheus")
    if path is None:
        leave_out("there is no prometheus")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    if "version 2." in said.stdout + said.stderr:
        leave_out("this prometheus is too old")
    return path


class Prometheus:
    """One server that takes remote write; may be stopped and started again on the same port."""

    def __init__(self, folder: Path, window: str = "0s") -> None:
        self._program = find()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text(CONFIG.format(window=window))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        """Return when it is ready."""
        command = [
            self._program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--storage.tsdb.retention.time=100y",
            *flags,
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while not self._is_ready():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return self._get("/-/ready")[0] == 200
        except OSError:
            return False

    def stop(self, *, kill: bool = False) -> None:
        """End; safe twice."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(30)
            self._process = None

    def query(self, expression: str, at_ms: int) -> list[Any]:
        """Return the result of an instant query."""
        form = {"query": expression, "time": f"{at_ms / 1000:.3f}"}
        found: list[Any] = self._data("query", form)["result"]
        return found

    def exemplars(self, selector: str, from_ms: int, to_ms: int) -> list[Any]:
        """Return the exemplars of some series; it must have been started with exemplar-storage."""
        form = {"query": selector, "start": f"{from_ms / 1000:.3f}", "end": f"{to_ms / 1000:.3f}"}
        found: list[Any] = self._data("query_exemplars", form)
        return found

    def _data(self, path: str, form: dict[str, str]) -> Any:
        status, body = self._get(f"/api/v1/{path}?{urlencode(form)}")
        assert status == 200, body
        return json.loads(body)["data"]

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
