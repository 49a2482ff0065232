"""From the configuration to servers, buffer and sinks for logs over sockets."""

import json
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from logship.metrics import LogshipMetrics
from logship.sink.forward import ForwardSink
from logship.sink.stdout import StdoutSink
from model.errors import OperatorError
from taskscope.clock import SystemClock
from taskscope.config import TaskscopeConfig, load_config
from taskscope.sockets import buffer_of, elsewhere, log_servers, plain_sinks
from taskscope.wiring import build_up
from tests.fakes.tasks import FakeTaskSource
from tests.logship.forward.receiving import Client, packed
from tests.logship.harness import until


def config_of(directory: Path, logship: str) -> TaskscopeConfig:
    """Return a configuration whose files are in a directory."""
    file = directory / "c.yml"
    file.write_text(f"listen: 127.0.0.1:0\ndata_dir: data\ndiscovery: {{docker: {{enabled: false}}}}\nlogship: {logship}\n")  # fmt: skip
    return load_config(file)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_up_takes_logs_over_sockets(tmp_path: Path) -> None:
    """What is acknowledged is found in the embedded store."""
    forward, otlp = free_port(), free_port()
    config = config_of(tmp_path, f"{{sources: [{{type: forward, listen: '127.0.0.1:{forward}'}}, {{type: otlp, listen: '127.0.0.1:{otlp}'}}]}}")  # fmt: skip
    stack = build_up(config, None, SystemClock())
    for part in stack.parts:
        part.start()
    try:
        with Client(forward) as client:
            assert client.ask(["orders.x", packed({"message": "over forward"}), {"chunk": "c"}]) == {"ack": "c"}  # fmt: skip
        body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "over otlp"}}]}]}]}  # fmt: skip
        request = urllib.request.Request(f"http://127.0.0.1:{otlp}/v1/logs", json.dumps(body).encode(), {"Content-Type": "application/json"})  # fmt: skip
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200

        def found() -> int:
            with urllib.request.urlopen(f"{stack.web.url}/api/logs/search?query=over", timeout=5) as answer:  # fmt: skip
                return len(json.load(answer)["records"])

        assert until(lambda: found() == 2)
        assert stack.status()["problems"] == []
    finally:
        for part in reversed(stack.parts):
            part.stop(timeout_seconds=5)


def test_buffer_is_there_where_it_is_needed(tmp_path: Path) -> None:
    """With a source that listens, or with what is left of one; a driver that comes over a socket is not read twice."""
    without = config_of(tmp_path, "{}")
    assert (buffer_of(without), elsewhere(without)) == ([], frozenset())

    having = config_of(tmp_path, "{sources: [{type: forward}], buffer: {disk_bytes: 67108864}}")
    (spool,) = buffer_of(having)
    spool.sync(spool.append(b"kept"))
    spool.close()

    assert elsewhere(having) == frozenset({"fluentd"})
    assert len(buffer_of(without)) == 1
    (tmp_path / "fresh").mkdir()
    assert buffer_of(config_of(tmp_path / "fresh", "{}")) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{type: forward, shared_key_file: none}", "the shared key in .*none cannot be read: No such file"),
        ("{type: forward, shared_key_file: empty}", "is empty"),
        ("{type: forward, tls: {cert_file: empty}}", "the certificate of the forward source cannot be used"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_said(tmp_path: Path, source: str, message: str) -> None:
    """When it starts, in words."""
    (tmp_path / "empty").touch()
    config = config_of(tmp_path, f"{{sources: [{source}]}}")

    with pytest.raises(OperatorError, match=message):
        log_servers(config, FakeTaskSource(), buffer_of(config), None, SystemClock(), LogshipMetrics(CollectorRegistry()))  # fmt: skip


def test_plain_sinks(tmp_path: Path) -> None:
    """Those that the configuration names, beside a store."""
    config = config_of(tmp_path, "{sinks: [{type: embedded}, {type: stdout}, {type: forward, endpoint: 'tls://f:24224', shared_key_file: k}]}")  # fmt: skip
    first, second = plain_sinks(config)

    assert isinstance(first, StdoutSink)
    assert isinstance(second, ForwardSink)
    assert (first.name, second.name) == ("stdout", "forward")
