"""A record that was refused for its shape, made acceptable: the offending field goes where any shape is taken."""

import re
from typing import Any, Final

import orjson

_FIELD: Final = re.compile(
    r"(?:failed to parse field|object mapping for|mapper|[Cc]annot write to a field alias|Field) \[([^\]]+)\]"
)
_OWN: Final = "fields"  # the flattened object
_TIME: Final = "@timestamp"


def offending_field(reason: str) -> str:
    """Return the field that Elasticsearch names in a reason, the last one it names; "" if none."""
    found = _FIELD.findall(reason)
    return found[-1] if found else ""


def repaired(lines: bytes, reason: str) -> bytes:
    """Return the two ``_bulk`` lines of a record as they may be taken.

    A field of ours that conflicts with a foreign mapping is moved into the flattened object, under
    its own name. The flattened object itself (nested too deep), or nobody knows what: its text is
    put at the end of the message.
    """
    action, document = lines.split(b"\n", 1)
    try:
        data: dict[str, Any] = orjson.loads(document)
    except orjson.JSONDecodeError:  # nested too deep for us, too
        return lines
    field = offending_field(reason)
    moved = [name for name in data if name == field or name.startswith(f"{field}.") or field.startswith(f"{name}.")] if field else []  # fmt: skip
    if moved and _OWN not in moved:
        own = data.setdefault(_OWN, {})
        for name in moved:
            own[name] = data.pop(name)
        if _TIME in moved:
            data[_TIME] = data.get("event.created")
    elif _OWN in data:
        data["message"] = f"{data.get('message', '')} {orjson.dumps(data.pop(_OWN)).decode()}"
    return action + b"\n" + orjson.dumps(data) + b"\n"
