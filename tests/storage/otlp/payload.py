"""OTLP requests for tests: written as the JSON form, and encoded as protobuf from it."""

from collections.abc import Mapping
from struct import pack
from typing import Any

from storage.otlp.messages import REQUEST, Field
from storage.remote.wire import varint

NOW = 1_767_225_600_000
NS = 1_000_000


def attributes(pairs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes; texts, numbers and truths."""
    out: list[dict[str, Any]] = []
    for key, value in pairs.items():
        name = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
        out.append({"key": key, "value": {name[type(value)]: value}})
    return out


SHOP = {
    "service.namespace": "ns",
    "service.name": "shop",
    "service.instance.id": "task-1",
    "host.name": "node-1",
    "telemetry.sdk.language": "python",
}


def request(*metrics: dict[str, Any], resource: Mapping[str, Any] = SHOP) -> dict[str, Any]:
    """Return a request of one resource."""
    scope = {"metrics": list(metrics)}
    part = {"resource": {"attributes": attributes(resource)}, "scope_metrics": [scope]}
    return {"resource_metrics": [part]}


def point(at_ms: int = NOW, start_ms: int = NOW - 60_000, **fields: Any) -> dict[str, Any]:
    """Return a data point; ``attrs`` are its attributes."""
    attrs = fields.pop("attrs", {})
    times = {"start_time_unix_nano": start_ms * NS, "time_unix_nano": at_ms * NS}
    return {**times, "attributes": attributes(attrs), **fields}


def protobuf(data: Mapping[str, Any], message: Mapping[int, Field] = REQUEST) -> bytes:
    """Encode a request."""
    out = []
    for number, field in message.items():
        if field.name not in data:
            continue
        value = data[field.name]
        if field.many and field.message is None:  # packed
            out.append(_delimited(number, b"".join(_bytes(field.kind, one)[1] for one in value)))
            continue
        for one in value if field.many else [value]:
            if field.message is not None:
                out.append(_delimited(number, protobuf(one, field.message)))
                continue
            kind, raw = _bytes(field.kind, one)
            out.append(_delimited(number, raw) if kind == 2 else varint(number << 3 | kind) + raw)
    return b"".join(out)


def _delimited(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def _bytes(kind: str, value: Any) -> tuple[int, bytes]:
    if kind == "string":
        return 2, value.encode()
    if kind == "id":
        return 2, bytes.fromhex(value)
    if kind == "bytes":
        return 2, value
    if kind == "double":
        return 1, pack("<d", value)
    if kind in ("fixed64", "sfixed64"):
        return 1, pack("<q" if kind == "sfixed64" else "<Q", value)
    if kind == "sint":
        return 0, varint((value << 1) ^ (value >> 63))
    return 0, varint(int(value))


def camel(data: Any) -> Any:
    """Return a request as OTLP's JSON has it: camelCase, 64-bit numbers as texts."""
    if isinstance(data, dict):
        return {_camel(key): _text(key, camel(value)) for key, value in data.items()}
    return [camel(one) for one in data] if isinstance(data, list) else data


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _text(key: str, value: Any) -> Any:
    if isinstance(value, bool) or key in ("scale", "offset", "flags", "aggregation_temporality"):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list) and value and isinstance(value[0], int):
        return [str(one) for one in value]
    return value
