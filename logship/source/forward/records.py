"""What the entries of a message mean: lines of containers, or records of applications.

A line has its text in ``log`` and says where it comes from (Docker's fluentd log driver:
``container_id``, ``container_name``, ``source``; Fluent Bit and Fluentd: ``stream`` and
``kubernetes``). Anything else is an application's record, whole as it is.
"""

from collections.abc import Mapping
from typing import Any, Final

from logship.source.forward.message import Message
from logship.source.groups import Group, json_text
from logship.spool.entry import Owner
from model.identity import ECS_FIELDS, RESOURCE_ATTRIBUTES

_APP: Final = (ECS_FIELDS["app"], "service", "app", "application")
_CONTAINER: Final = ("container_id", ECS_FIELDS["container_id"])
_TASK: Final = (ECS_FIELDS["task_id"], "task_id", RESOURCE_ATTRIBUTES["task_id"])
_NAMESPACE: Final = (RESOURCE_ATTRIBUTES["namespace"],)
_STREAMS: Final = ("stdout", "stderr")
_NAME_CHARS_MAX: Final = 200


def groups_of(message: Message) -> list[Group]:
    """Return the entries of a message by owner."""
    groups: dict[Owner, Group] = {}
    tag = message.tag[:_NAME_CHARS_MAX]
    for time, record in zip(message.times, message.records, strict=True):
        fields = record if isinstance(record, dict) else {}
        line = _line(fields)
        owner = _container(fields, tag) if line is not None else _application(fields, tag)
        group = groups.get(owner)
        if group is None:
            group = groups[owner] = Group(owner)
        if line is None:
            group.texts.append(json_text(record))
        else:
            if _is_partial(fields):
                group.partial.append(len(group.texts))
            group.texts.append(line)
            group.streams.append(_stream(fields))
        group.times.append(time)
    return list(groups.values())


def _line(fields: Mapping[str, Any]) -> str | None:
    """Return the text of a line, or None if the record is none."""
    text = fields.get("log")
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        return None
    if "source" in fields or "stream" in fields or "container_id" in fields:
        return text.removesuffix("\n")
    return None


def _is_partial(fields: Mapping[str, Any]) -> bool:
    """Tell whether a line goes on: Docker since 18.06 says which part is the last."""
    return fields.get("partial_message") == "true" and fields.get("partial_last") != "true"


def _stream(fields: Mapping[str, Any]) -> str:
    stream = fields.get("source") or fields.get("stream")
    return stream if stream in _STREAMS else "stdout"


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = fields.get(name)
        if isinstance(value, dict):  # {"service": {"name": "orders"}}
            value = value.get("name")
        if value and isinstance(value, str):
            return value[:_NAME_CHARS_MAX]
    return ""


def _container(fields: Mapping[str, Any], tag: str) -> Owner:
    pod = fields.get("kubernetes")
    pod = pod if isinstance(pod, dict) else {}
    container = _first(fields, _CONTAINER) or _first(pod, ("docker_id",))
    name = _first(fields, ("container_name",)).lstrip("/") or _first(pod, ("pod_name",))
    app = _first(pod, ("container_name",)) or name or _app_of(tag)
    namespace = _first(pod, ("namespace_name",))
    return Owner(
        f"container/{container or name or tag}", container, "", app, namespace, name, is_lines=True
    )


def _application(fields: Mapping[str, Any], tag: str) -> Owner:
    container, task = _first(fields, _CONTAINER), _first(fields, _TASK)
    app = _first(fields, _APP) or _app_of(tag)
    namespace = _first(fields, _NAMESPACE)
    key = f"app/{namespace}/{app}/{task}/{container}"
    return Owner(key, container, task, app, namespace, task or app, stream="forward")


def _app_of(tag: str) -> str:
    """Return the part of a tag that names the application: fluent-logger writes ``app.label``."""
    return tag.partition(".")[0] or "unknown"
