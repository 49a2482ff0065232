"""The same samples in a real Prometheus and in Taskscope's own server, and what each of them answers."""

import json
import shutil
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from model.labels import Labels
from storage.remote.client import RemoteWriteClient
from storage.remote.encode import encode_labels
from storage.remote.encode_histograms import encode_histogram
from storage.remote.wire import (
    EXEMPLAR_TAG,
    HISTOGRAM_TAG,
    SAMPLE_TAG,
    SERIES_TAG,
    TIME_TAG,
    VALUE_TAG,
    delimited,
    varint,
)
from taskscope.clock import SystemClock
from taskscope.config import load_config
from taskscope.wiring import build_server
from tests.needs import leave_out
from tests.promql.histograms import Hist, to_pool

READY_SECONDS = 20.0
Points = Sequence[tuple[int, float]]


class Written(Struct, frozen=True):
    """What one series is sent, all with times in ms."""

    points: Points = ()
    histograms: Sequence[tuple[int, Hist]] = ()
    exemplars: Sequence[tuple[int, float, Labels]] = ()


def find_program(name: str) -> str:
    """Return the path of one of Prometheus's programs."""
    cached = Path.home() / ".cache/taskscope/bin" / name
    found = str(cached) if cached.exists() else shutil.which(name)
    if found is None:
        leave_out(f"there is no {name}")
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    text: bytes

    def json(self) -> Any:
        """Return the body; None if there is none."""
        return json.loads(self.text) if self.text else None


class Peer(Struct, frozen=True):
    """A server and how to ask it; ``pid`` is 0 for one in this process."""

    url: str
    pid: int = 0

    def ask(self, path: str, parameters: Any = (), *, method: str = "GET") -> Answer:
        """Ask an endpoint below ``/api/v1``; a POST sends a form."""
        form = urlencode(parameters, doseq=True)
        url = f"{self.url}/api/v1/{path}"
        body = None
        if method == "GET":
            url = f"{url}?{form}" if form else url
        else:
            body = form.encode()
        asked = urllib.request.Request(url, data=body, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read())

    def write(self, series: Mapping[Labels, Written]) -> None:
        """Send samples by remote write 1.0."""
        message = b"".join(_series(labels, written) for labels, written in series.items())
        client = RemoteWriteClient(f"{self.url}/api/v1/write")
        client.post(message)
        client.close()

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait(self, met: Callable[[], bool]) -> None:
        """Wait until something has come to be."""
        end = time.monotonic() + READY_SECONDS
        while not met():
            assert time.monotonic() < end, "it never came to that"
            time.sleep(0.1)


def _series(labels: Labels, written: Written) -> bytes:
    parts = [encode_labels(labels)]
    for ts, value in written.points:
        parts.append(delimited(SAMPLE_TAG, _double(VALUE_TAG, value) + _time(TIME_TAG, ts)))
    for ts, value, carried in written.exemplars:
        parts.append(
            delimited(EXEMPLAR_TAG, encode_labels(carried) + _double(0x11, value) + _time(0x18, ts))
        )
    for ts, hist in written.histograms:
        parts.append(delimited(HISTOGRAM_TAG, encode_histogram(to_pool([hist]), 0, ts)))
    return delimited(SERIES_TAG, b"".join(parts))


def _double(tag: int, value: float) -> bytes:
    return bytes((tag,)) + struct.pack("<d", value)


def _time(tag: int, ts_ms: int) -> bytes:
    return bytes((tag,)) + varint(ts_ms)


@contextmanager
def prometheus(folder: Path, *, config: str, flags: Sequence[str] = ()) -> Iterator[Peer]:
    """Run a Prometheus that takes remote write."""
    program, port = find_program("prometheus"), free_port()
    file = folder / "prometheus.yml"
    file.write_text(config)
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--log.level=error",
        "--enable-feature=exemplar-storage,promql-experimental-functions,promql-duration-expr",
        "--enable-feature=promql-per-step-stats",
        *flags,
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        peer = Peer(f"http://127.0.0.1:{port}", process.pid)
        try:
            peer.wait(peer.is_ready)
            yield peer
        finally:
            process.kill()


@contextmanager
def taskscope(folder: Path, *, config: str) -> Iterator[Peer]:
    """Run Taskscope's server in this process."""
    file = folder / "taskscope.yml"
    file.write_text(config)
    port = free_port()
    settings = load_config(file, listen=f"127.0.0.1:{port}", data_dir=folder / "own")
    stack = build_server(settings, file, SystemClock())
    for part in stack.parts:
        part.start()
    try:
        yield Peer(f"http://127.0.0.1:{port}")
    finally:
        for part in reversed(stack.parts):
            part.stop()
