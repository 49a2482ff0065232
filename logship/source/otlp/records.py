"""From an OTLP request to groups of records: whose they are, and each as one JSON object.

What a record has of its own (time, severity, body, trace) stands under the names that every JSON
log line is understood by; its attributes stand beside as they are.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from logship.parse import keys
from logship.source.groups import Group, json_text
from logship.spool.entry import Owner
from model.identity import RESOURCE_ATTRIBUTES
from model.log import LEVEL_NAMES
from storage.otlp.labels import plain_of, text_of
from storage.otlp.messages import LOG_RECORD, LOGS, decode_json, decode_protobuf, object_of

_APP, _NAMESPACE, _TASK, _CONTAINER = (RESOURCE_ATTRIBUTES[name] for name in ("app", "namespace", "task_id", "container_id"))  # fmt: skip
_NAME_CHARS_MAX: Final = 200
_RESERVED: Final = frozenset(name for names in keys.KNOWN for name in names)
_IDENTITY: Final = frozenset(RESOURCE_ATTRIBUTES.values())
_FATAL: Final = len(LEVEL_NAMES) - 1


class Request(Struct, frozen=True):
    """What a request holds.

    Attributes:
        groups: Its records.
        records: How many there are.
        rejected: How many more could not be read.
        is_timed: Whether each has a time, so that the same bytes can only be the same request again.
    """

    groups: list[Group]
    records: int
    rejected: int
    is_timed: bool


def read(body: bytes, *, as_json: bool) -> Request:
    """Read a request.

    Raises:
        ValueError: If it is none.
    """
    decoded = decode_json(body, LOGS) if as_json else decode_protobuf(body, LOGS)
    groups: dict[Owner, Group] = {}
    is_timed, number, rejected = True, 0, 0
    for part in decoded.get("resource_logs", ()):
        attributes = part.get("resource", {}).get("attributes", ())
        resource = {one.get("key", ""): one.get("value") for one in attributes}
        owner = owner_of({name: text_of(value) for name, value in resource.items()})
        shared = {name: plain_of(value) for name, value in resource.items() if name not in _IDENTITY}  # fmt: skip
        group = groups.setdefault(owner, Group(owner))
        for scope in part.get("scope_logs", ()):
            logger = scope.get("scope", {}).get("name", "")
            for raw in scope.get("log_records", ()):
                try:
                    record = object_of(raw, LOG_RECORD) if as_json else decode_protobuf(raw, LOG_RECORD)  # fmt: skip
                except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
                    rejected += 1
                    continue
                time = record.get("time_unix_nano") or record.get("observed_time_unix_nano") or 0
                is_timed &= bool(time)
                number += 1
                group.texts.append(json_text(_fields(record, logger, shared)))
                group.times.append(time if 0 < time < 1 << 63 else -1)
    return Request([g for g in groups.values() if g.texts], number, rejected, is_timed)


def owner_of(resource: Mapping[str, str]) -> Owner:
    """Return whose the records of a resource are; the names are those of ``model.identity``."""

    def named(name: str) -> str:
        return resource.get(name, "")[:_NAME_CHARS_MAX]

    app = named(_APP) or "unknown_service"
    key = f"app/{named(_NAMESPACE)}/{app}/{named(_TASK)}/{named(_CONTAINER)}"
    name = named(RESOURCE_ATTRIBUTES["task_name"]) or named(RESOURCE_ATTRIBUTES["container_name"])
    return Owner(key, named(_CONTAINER), named(_TASK), app, named(_NAMESPACE), name or named(_TASK) or app, stream="otlp")  # fmt: skip


def _fields(record: Mapping[str, Any], logger: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    body = plain_of(record.get("body"))
    own: dict[str, Any] = {}
    if isinstance(body, dict):  # a structured body: its keys are those of a log line
        own = dict(body)
    fields: dict[str, Any] = {}
    if not isinstance(body, dict):
        fields["message"] = text_of(record.get("body"))
    if record.get("event_name"):
        fields["event.name"] = record["event_name"]
        fields["message"] = fields.get("message") or record["event_name"]
    level = _level(record)
    if level:
        fields["log.level"] = level
    if record.get("trace_id"):
        fields["trace.id"] = record["trace_id"].lower()
    if record.get("span_id"):
        fields["span.id"] = record["span_id"].lower()
    if logger:
        fields["log.logger"] = logger
    for name, value in own.items():
        fields.setdefault(name, value)
    for one in record.get("attributes", ()):
        _put(fields, one.get("key", ""), plain_of(one.get("value")))
    for name, value in shared.items():
        _put(fields, name, value)
    return fields


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Add an attribute; one that has the name of something that a line is known by stands apart."""
    name = f"attributes.{name}" if name in _RESERVED else name
    if name:
        fields.setdefault(name, value)


def _level(record: Mapping[str, Any]) -> str:
    """Return the word of a severity: four numbers each, from 1 on (opentelemetry.io/docs/specs/otel/logs/data-model)."""
    number = record.get("severity_number", 0)
    if 1 <= number <= 4 * _FATAL:
        return LEVEL_NAMES[(number + 3) // 4]
    text: str = record.get("severity_text", "")
    return text
