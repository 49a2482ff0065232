"""OTLP log requests of any bytes: read or refused, nothing else."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from logship.source.otlp.records import read

NAMES = st.sampled_from(["resourceLogs", "resource", "scopeLogs", "logRecords", "attributes", "key", "value", "stringValue", "intValue", "kvlistValue", "values", "arrayValue", "body", "timeUnixNano", "severityNumber", "traceId", "scope", "name", "bytesValue"])  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 1 << 70), st.floats(), st.text(max_size=9), st.sampled_from(["1795341600000000001", "SEVERITY_NUMBER_INFO", "ab" * 16]))  # fmt: skip
VALUES = st.recursive(SCALARS, lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(NAMES, v, max_size=5)), max_leaves=25)  # fmt: skip
RECORD = st.dictionaries(NAMES, VALUES, max_size=6)


def request_of(records: list[Any]) -> dict[str, Any]:
    """Return a request with records of any kind."""
    return {"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": [{"logRecords": records}]}]}  # fmt: skip


def tried(body: bytes, *, as_json: bool) -> int:
    """Read a request; return how many records it had, -1 if it was refused."""
    try:
        found = read(body, as_json=as_json)
    except ValueError:
        return -1
    for group in found.groups:
        assert len(group.texts) == len(group.times)
        assert all(isinstance(json.loads(text), dict) for text in group.texts)
    assert found.records == sum(len(group.texts) for group in found.groups)
    return found.records + found.rejected


@given(st.one_of(st.binary(max_size=300), st.text(max_size=50).map(str.encode)))
@settings(max_examples=120)
def test_any_bytes(body: bytes) -> None:
    """As protobuf and as JSON."""
    tried(body, as_json=False)
    tried(body, as_json=True)


@given(st.lists(st.one_of(VALUES, RECORD), max_size=4))
@settings(max_examples=120)
def test_any_json_record_is_read_or_rejected_by_itself(records: list[Any]) -> None:
    """One that is broken costs no other."""
    body = json.dumps(request_of(records)).encode()

    assert tried(body, as_json=True) == len(records)


@given(VALUES)
def test_any_json_value(value: Any) -> None:
    """Where a list of resources, of scopes or anything else is expected."""
    for request in (value, {"resourceLogs": value}, {"resourceLogs": [{"resource": value, "scopeLogs": value}]}):  # fmt: skip
        tried(json.dumps(request).encode(), as_json=True)


@given(st.data())
@settings(max_examples=120)
def test_damaged_protobuf(data: st.DataObject) -> None:
    """A real request with any byte changed, and cut at any byte."""
    whole = ExportLogsServiceRequest()
    for number in range(2):
        part = whole.resource_logs.add()
        attribute = part.resource.attributes.add()
        attribute.key, attribute.value.string_value = "service.name", f"app-{number}"
        record = part.scope_logs.add().log_records.add()
        record.body.string_value, record.time_unix_nano, record.severity_number = "text", 1 << 60, 9
        record.trace_id, record.span_id = b"\xab" * 16, b"\xcd" * 8
        record.attributes.add(key="n").value.int_value = -5
        record.attributes.add(key="deep").value.array_value.values.add().double_value = 0.5
    body = bytearray(whole.SerializeToString())
    assert tried(bytes(body), as_json=False) == 2
    at = data.draw(st.integers(0, len(body) - 1))
    tried(bytes(body[:at]), as_json=False)
    body[at] = data.draw(st.integers(0, 255))
    tried(bytes(body), as_json=False)
