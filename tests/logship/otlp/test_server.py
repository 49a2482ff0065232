"""OTLP logs over HTTP: the real exporter, both encodings, what is taken once, refused or answered later."""

import gzip
import http.client
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from prometheus_client import CollectorRegistry

from logship.source.inbox import Inbox
from logship.source.otlp.server import OtlpServer, OtlpSettings
from logship.source.owners import Owners
from logship.spool.spool import Spool
from model.log import Level
from model.task import TaskSource
from storage.remote.wire import delimited
from tests.fakes.tasks import SHOP, FakeTaskSource, make_task
from tests.logship.harness import REDACTOR, RealClock, shipper, until
from tests.logship.recording import RecordingSink

NANOS = 1_795_341_600_000_000_001


class Receiving:
    """An OTLP server, its spool, and a shipper into a sink that records."""

    def __init__(self, directory: Path, tasks: TaskSource, sink: RecordingSink, disk_bytes: int) -> None:  # fmt: skip
        self.sink = sink
        self.registry = CollectorRegistry()
        self.spool = Spool(directory / "spool", disk_bytes=disk_bytes)
        self.shipper = shipper(tasks, directory / "state", sink, registry=self.registry, spools=[self.spool])  # fmt: skip
        owners = Owners(tasks, "otlp", cluster="test", host="host-1")
        inbox = Inbox("otlp", self.spool, owners, REDACTOR, RealClock(), self.shipper.metrics, dataset="task")  # fmt: skip
        self.server = OtlpServer(OtlpSettings(port=0, request_bytes=1 << 20), inbox, self.shipper.metrics)  # fmt: skip

    def post(self, body: bytes, kind: str = "application/json", path: str = "/v1/logs", **headers: str) -> tuple[int, bytes, Any]:  # fmt: skip
        """Send a request, return status, body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.request("POST", path, body, {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}})  # fmt: skip
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


@contextmanager
def receiving(directory: Path, tasks: TaskSource | None = None, sink: RecordingSink | None = None, disk_bytes: int = 64 << 20) -> Iterator[Receiving]:  # fmt: skip
    """Run one."""
    parts = Receiving(directory, tasks or FakeTaskSource(), sink or RecordingSink(), disk_bytes)
    parts.shipper.start()
    parts.server.start()
    try:
        yield parts
    finally:
        parts.server.stop()
        parts.server.stop()
        parts.shipper.stop()
        parts.spool.close()


def fields_of(batch: Any, row: int = 0) -> dict[str, Any]:
    """Return a record's own fields."""
    found: dict[str, Any] = json.loads(batch.buf[batch.fields.starts[row] : batch.fields.ends[row]] or b"{}")  # fmt: skip
    return found


def request(*records: dict[str, Any], **resource: str) -> bytes:
    """Return a request in JSON."""
    attributes = [{"key": k.replace("_", "."), "value": {"stringValue": v}} for k, v in resource.items()]  # fmt: skip
    return json.dumps({"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"scope": {"name": "lib"}, "logRecords": list(records)}]}]}).encode()  # fmt: skip


def record(text: str, **more: Any) -> dict[str, Any]:
    """Return a record in JSON."""
    return {"timeUnixNano": str(NANOS), "body": {"stringValue": text}, **more}


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_real_exporter(tmp_path: Path, compression: Compression) -> None:
    """Identity from the resource, level, body, attributes, trace and span."""
    with receiving(tmp_path) as agent:
        exporter = OTLPLogExporter(f"http://127.0.0.1:{agent.server.port}/v1/logs", compression=compression)  # fmt: skip
        resource = Resource({"service.name": "pay", "service.namespace": "eu", "service.instance.id": "pay-1", "deployment": "blue"})  # fmt: skip
        provider = LoggerProvider(resource, shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        span = NonRecordingSpan(SpanContext(0xAB << 120 | 1, 0xCD, is_remote=False, trace_flags=TraceFlags(1)))  # fmt: skip
        provider.get_logger("orders").emit(
            LogRecord(timestamp=NANOS, severity_number=SeverityNumber.ERROR2, severity_text="ERROR", context=set_span_in_context(span),
                      body="declined password=hunter22", attributes={"cents": 250, "tags": ["a", "b"], "message": "other"})
        )  # fmt: skip
        provider.get_logger("orders").emit(LogRecord(timestamp=NANOS + 1, body={"message": "structured", "level": "warn", "n": 1}))  # fmt: skip
        provider.shutdown()
        assert until(lambda: len(agent.sink.records) == 2)

    first, second = sorted(((b, row) for b in agent.sink.batches for row in range(len(b))), key=lambda one: int(one[0].ts_ns[one[1]]))  # fmt: skip
    batch, row = first
    assert batch.text(row) == "declined password=[REDACTED:key_value]"
    assert (int(batch.ts_ns[row]), int(batch.levels[row])) == (NANOS, Level.ERROR)
    assert batch.trace_ids[row] == f"{0xAB << 120 | 1:032x}"
    identity = batch.identity
    assert (identity.app, identity.namespace, identity.task_id, identity.host) == ("pay", "eu", "pay-1", "host-1")  # fmt: skip
    own = fields_of(batch, row)
    assert own["span.id"] == f"{0xCD:016x}"
    assert (own["cents"], own["tags"], own["attributes.message"]) == (250, ["a", "b"], "other")
    assert (own["deployment"], own["log.logger"]) == ("blue", "orders")
    batch, row = second
    assert (batch.text(row), int(batch.levels[row]), fields_of(batch, row)["n"]) == ("structured", Level.WARN, 1)  # fmt: skip


def test_json_of_a_known_task(tmp_path: Path) -> None:
    """A container id of a task that the runtime knows is that task; its severity may be a name."""
    with receiving(tmp_path, FakeTaskSource(make_task())) as agent:
        status, body, headers = agent.post(request(record("hello", severityNumber="SEVERITY_NUMBER_WARN3", traceId="AB" * 16), container_id="shop-1-id", service_name="x"))  # fmt: skip
        assert until(lambda: agent.sink.records)

    assert (status, body, headers["Content-Type"]) == (200, b"{}", "application/json")
    (batch,) = agent.sink.batches
    assert batch.identity.app == SHOP.app
    assert (int(batch.levels[0]), batch.trace_ids, batch.run) == (Level.WARN, {0: "ab" * 16}, 1)


def test_same_request_again_is_taken_once(tmp_path: Path) -> None:
    """An exporter whose answer was lost sends it again; records without any time may be said twice."""
    sink = RecordingSink()
    for _ in range(2):
        with receiving(tmp_path, sink=sink) as agent:
            for _ in range(2):
                assert agent.post(request(record("once"), service_name="a"))[0] == 200
                plain = {"body": {"stringValue": "each time"}}
                assert agent.post(request(plain, service_name="a"))[0] == 200
    with receiving(tmp_path, sink=sink):
        assert until(lambda: len(sink.records) == 5)

    assert sorted(sink.texts) == ["each time"] * 4 + ["once"]


@pytest.mark.parametrize("as_json", [True, False])
def test_partial_success(tmp_path: Path, as_json: bool) -> None:
    """A record that cannot be read costs no other, and the answer says how many there were."""
    if as_json:
        body = request(record("good"), {"timeUnixNano": "no number"}, record("good too"))
    else:
        whole = ExportLogsServiceRequest()
        logs = whole.resource_logs.add().scope_logs.add()
        for text in ("good", "good too"):
            one = logs.log_records.add()
            one.body.string_value, one.time_unix_nano = text, NANOS
        scope = logs.SerializeToString() + delimited(0x12, b"\x09\x01")
        body = delimited(0x0A, delimited(0x12, scope))
    with receiving(tmp_path) as agent:
        status, answer, _ = agent.post(body, "application/json" if as_json else "application/x-protobuf")  # fmt: skip
        assert until(lambda: len(agent.sink.records) == 2)

    assert status == 200
    if as_json:
        assert json.loads(answer)["partialSuccess"]["rejectedLogRecords"] == "1"
    else:
        response = ExportLogsServiceResponse.FromString(answer)
        assert response.partial_success.rejected_log_records == 1
        assert "could not be read" in response.partial_success.error_message


@pytest.mark.parametrize(
    ("body", "how", "status", "words"),
    [
        (b"{", {}, 400, b"not OTLP in JSON"),
        (b"\x0a\xff", {"kind": "application/x-protobuf"}, 400, b"cut off"),
        (b"{}", {"kind": "text/plain"}, 415, b"Content-Type"),
        (b"{}", {"path": "/v1/traces"}, 404, b"/v1/logs"),
        (b"no gzip at all", {"Content_Encoding": "gzip"}, 400, b"not gzip"),
        (b"x", {"Content_Encoding": "br"}, 400, b"not known here"),
        (gzip.compress(bytes(5 << 20)), {"Content_Encoding": "gzip"}, 400, b"unpacks to too much"),
        (b" " * (1 << 21), {}, 413, b""),
    ],
    ids=["json", "protobuf", "type", "path", "gzip", "brotli", "bomb", "long"],
)
def test_bad_requests_are_answered(tmp_path: Path, body: bytes, how: dict[str, str], status: int, words: bytes) -> None:  # fmt: skip
    """With a status that no exporter retries, and words."""
    with receiving(tmp_path) as agent:
        found, answer, _ = agent.post(body, **how)
        assert (found, words in answer) == (status, True)
        assert agent.post(request(record("still there")))[0] == 200


def test_full_buffer_answers_later_and_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """503 with Retry-After until there is room; what was sent again then is there once."""
    from model.errors import DeliveryError

    sink = RecordingSink()
    sink.failing = DeliveryError("down", retryable=True, retry_after_seconds=0.05)
    import random

    bodies = [request(record(f"{n} {random.Random(n).randbytes(8000).hex()}")) for n in range(30)]
    with receiving(tmp_path, sink=sink, disk_bytes=100_000) as agent:
        taken = 0
        while (answer := agent.post(bodies[taken]))[0] == 200:
            taken += 1
        assert taken > 3
        assert (answer[0], answer[2]["Retry-After"]) == (503, "5")
        sink.failing = None
        for body in bodies[taken:]:
            assert until(lambda body=body: agent.post(body)[0] == 200)  # type: ignore[misc]  # mypy cannot infer defaults of a lambda
        assert until(lambda: len(sink.records) == 30)

    assert sorted(int(text.split()[0]) for text in sink.texts) == list(range(30))
    assert sink.repeats == 0
    assert any("is full" in message for message in caplog.messages)
    assert logging.getLogger("waitress.queue").level == logging.ERROR


def test_port_in_use_is_a_problem_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Start does not fail for it."""
    import socket

    monkeypatch.setattr("logship.source.otlp.server.LISTEN_RETRY_SECONDS", 0.1)
    parts = Receiving(tmp_path, FakeTaskSource(), RecordingSink(), 64 << 20)
    with socket.create_server(("127.0.0.1", 0)) as other:
        parts.server._settings = replace(parts.server._settings, port=other.getsockname()[1])
        parts.server.start()
        assert "cannot listen" in parts.server.problem
    try:
        assert until(lambda: not parts.server.problem)
        assert until(lambda: parts.post(request(record("x")))[0] == 200)
    finally:
        parts.server.stop()
        parts.shipper.stop()
        parts.spool.close()
