"""OTLP's messages as plain dicts, from protobuf and from JSON alike.

Field names are those of opentelemetry/proto/metrics/v1/metrics.proto and its neighbours. A field
that was not sent is not in the dict.
"""

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from storage.remote.packed import read_packed
from storage.remote.wire import WireError, read_delimited, read_varint, signed, skip

_FIXED: Final = {
    "double": struct.Struct("<d"),
    "fixed64": struct.Struct("<Q"),
    "sfixed64": struct.Struct("<q"),
}
_DEPTH: Final = 100


class Field(Struct, frozen=True):
    """One field: its name, its kind (a scalar of protobuf or "message"), and how often it comes."""

    name: str
    kind: str
    message: "Mapping[int, Field] | None" = None
    many: bool = False


def _one(name: str, kind: str) -> Field:
    return Field(name, kind)


def _list(name: str, kind: str) -> Field:
    return Field(name, kind, many=True)


def _message(name: str, message: Mapping[int, Field], *, many: bool = False) -> Field:
    return Field(name, "message", message, many)


_ANY: Final[dict[int, Field]] = {
    1: _one("string_value", "string"),
    2: _one("bool_value", "bool"),
    3: _one("int_value", "int64"),
    4: _one("double_value", "double"),
    7: _one("bytes_value", "bytes"),
}
_KEY_VALUE: Final = {1: _one("key", "string"), 2: _message("value", _ANY)}
_ANY[5] = _message("array_value", {1: _message("values", _ANY, many=True)})
_ANY[6] = _message("kvlist_value", {1: _message("values", _KEY_VALUE, many=True)})
_EXEMPLAR: Final = {
    2: _one("time_unix_nano", "fixed64"),
    3: _one("as_double", "double"),
    4: _one("span_id", "id"),
    5: _one("trace_id", "id"),
    6: _one("as_int", "sfixed64"),
    7: _message("filtered_attributes", _KEY_VALUE, many=True),
}
_TIMES: Final = {2: _one("start_time_unix_nano", "fixed64"), 3: _one("time_unix_nano", "fixed64")}
_NUMBER: Final = {
    **_TIMES,
    4: _one("as_double", "double"),
    5: _message("exemplars", _EXEMPLAR, many=True),
    6: _one("as_int", "sfixed64"),
    7: _message("attributes", _KEY_VALUE, many=True),
    8: _one("flags", "uint"),
}
_HISTOGRAM: Final = {
    **_TIMES,
    4: _one("count", "fixed64"),
    5: _one("sum", "double"),
    6: _list("bucket_counts", "fixed64"),
    7: _list("explicit_bounds", "double"),
    8: _message("exemplars", _EXEMPLAR, many=True),
    9: _message("attributes", _KEY_VALUE, many=True),
    10: _one("flags", "uint"),
    11: _one("min", "double"),
    12: _one("max", "double"),
}
_BUCKETS: Final = {1: _one("offset", "sint"), 2: _list("bucket_counts", "uint")}
_EXPONENTIAL: Final = {
    **_TIMES,
    1: _message("attributes", _KEY_VALUE, many=True),
    4: _one("count", "fixed64"),
    5: _one("sum", "double"),
    6: _one("scale", "sint"),
    7: _one("zero_count", "fixed64"),
    8: _message("positive", _BUCKETS),
    9: _message("negative", _BUCKETS),
    10: _one("flags", "uint"),
    11: _message("exemplars", _EXEMPLAR, many=True),
    14: _one("zero_threshold", "double"),
}
_QUANTILE: Final = {1: _one("quantile", "double"), 2: _one("value", "double")}
_SUMMARY: Final = {
    **_TIMES,
    4: _one("count", "fixed64"),
    5: _one("sum", "double"),
    6: _message("quantile_values", _QUANTILE, many=True),
    7: _message("attributes", _KEY_VALUE, many=True),
    8: _one("flags", "uint"),
}
_TEMPORALITY: Final = _one("aggregation_temporality", "enum")


def _points(message: Mapping[int, Field]) -> dict[int, Field]:
    return {1: _message("data_points", message, many=True), 2: _TEMPORALITY}


METRIC: Final = {
    1: _one("name", "string"),
    2: _one("description", "string"),
    3: _one("unit", "string"),
    5: _message("gauge", _points(_NUMBER)),
    7: _message("sum", {**_points(_NUMBER), 3: _one("is_monotonic", "bool")}),
    9: _message("histogram", _points(_HISTOGRAM)),
    10: _message("exponential_histogram", _points(_EXPONENTIAL)),
    11: _message("summary", _points(_SUMMARY)),
}
RESOURCE: Final = {1: _message("attributes", _KEY_VALUE, many=True)}
REQUEST: Final = {
    1: _message(
        "resource_metrics",
        {
            1: _message("resource", RESOURCE),
            2: _message("scope_metrics", {2: _message("metrics", METRIC, many=True)}, many=True),
        },
        many=True,
    )
}

LOG_RECORD: Final = {
    1: _one("time_unix_nano", "fixed64"),
    2: _one("severity_number", "enum"),
    3: _one("severity_text", "string"),
    5: _message("body", _ANY),
    6: _message("attributes", _KEY_VALUE, many=True),
    9: _one("trace_id", "id"),
    10: _one("span_id", "id"),
    11: _one("observed_time_unix_nano", "fixed64"),
    12: _one("event_name", "string"),
}
# each record is left as it is, so that one which is broken costs no other
LOGS: Final = {
    1: _message(
        "resource_logs",
        {
            1: _message("resource", RESOURCE),
            2: _message(
                "scope_logs",
                {
                    1: _message("scope", {1: _one("name", "string")}),
                    2: _list("log_records", "raw"),
                },
                many=True,
            ),
        },
        many=True,
    )
}


def decode_protobuf(
    data: bytes, message: Mapping[int, Field] = REQUEST, depth: int = 0
) -> dict[str, Any]:
    """Decode a message.

    Raises:
        WireError: If it is none.
    """
    if depth > _DEPTH:
        raise WireError("values are nested too deep")
    found: dict[str, Any] = {}
    at, end = 0, len(data)
    while at < end:
        tag, at = read_varint(data, at)
        field = message.get(tag >> 3)
        if field is None:
            at = skip(data, tag, at, end)
            continue
        value: Any
        if tag & 7 == 2:
            start, at = read_delimited(data, at, end)
            value = _delimited(field, data[start:at], depth)
        else:
            start, at = at, skip(data, tag, at, end)
            value = _scalar(field.kind, tag & 7, data[start:at])
        if not field.many:
            found[field.name] = value
        elif isinstance(value, list):
            found.setdefault(field.name, []).extend(value)
        else:
            found.setdefault(field.name, []).append(value)
    return found


def _delimited(field: Field, data: bytes, depth: int) -> Any:
    if field.message is not None:
        return decode_protobuf(data, field.message, depth + 1)
    if field.kind == "string":
        return data.decode("utf-8", "replace")
    if field.kind in ("bytes", "raw"):
        return data
    if field.kind == "id":
        return data.hex()
    if field.many and field.kind in _FIXED:
        size = len(data) // 8
        if len(data) % 8:
            raise WireError("a number is cut off")
        return np.frombuffer(data, "<f8" if field.kind == "double" else "<u8", size).tolist()
    if field.many:
        return read_packed([data])[0].tolist()
    raise WireError(f"{field.name} is of another type")


def _scalar(kind: str, wire_type: int, data: bytes) -> Any:
    if kind in _FIXED:
        if wire_type != 1:
            raise WireError("a number is of another type")
        return _FIXED[kind].unpack(data)[0]
    if wire_type != 0 or kind in ("string", "bytes", "id", "message", "raw"):
        raise WireError("a field is of another type")
    number = read_varint(data, 0)[0]
    if kind == "sint":
        return (number >> 1) ^ -(number & 1)
    if kind == "int64":
        return signed(number)
    return bool(number) if kind == "bool" else number


def decode_json(text: bytes, message: Mapping[int, Field] = REQUEST) -> dict[str, Any]:
    """Decode a request in JSON (camelCase names, 64-bit numbers as texts, ids in hex).

    Raises:
        WireError: If it is none.
    """
    try:
        return object_of(json.loads(text), message)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise WireError(f"not OTLP in JSON: {error}") from error


def object_of(data: Any, message: Mapping[int, Field], depth: int = 0) -> dict[str, Any]:
    """Return a message of which the JSON is decoded already.

    Raises:
        WireError, ValueError, TypeError, AttributeError, OverflowError: If it is none.
    """
    if not isinstance(data, dict):
        raise WireError("an object is expected")
    if depth > _DEPTH:
        raise WireError("values are nested too deep")
    found: dict[str, Any] = {}
    for field in message.values():
        value = data.get(_camel(field.name), data.get(field.name))
        if value is None or (field.many and not value):
            continue
        if field.many:
            found[field.name] = [_json(field, one, depth) for one in value]
        else:
            found[field.name] = _json(field, value, depth)
    return found


def _json(field: Field, value: Any, depth: int) -> Any:
    if field.message is not None:
        return object_of(value, field.message, depth + 1)
    if field.kind == "raw":
        return value
    if field.kind == "double":
        return float(value)
    if field.kind == "enum":
        return value if isinstance(value, int) else _ENUMS.get(value, 0)
    if field.kind == "bytes":
        return base64.b64decode(value)
    if field.kind in ("string", "id"):
        return str(value)
    return bool(value) if field.kind == "bool" else int(value)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


DELTA: Final = 1
_SEVERITIES: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_ENUMS: Final = {
    "AGGREGATION_TEMPORALITY_DELTA": 1,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": 2,
    **{
        f"SEVERITY_NUMBER_{name}{step or ''}": 4 * level + 1 + (step and step - 1)
        for level, name in enumerate(_SEVERITIES)
        for step in (0, 2, 3, 4)
    },
}
