"""Field names and values as people write them, and what is meant."""

import difflib
import re
from datetime import UTC, datetime
from typing import Final

from model.errors import QueryError
from model.identity import QUERY_FIELDS
from model.log import LEVEL_NAMES
from storage.logquery.nodes import MESSAGE, OWN_FIELDS, TIMESTAMP

# Words of other loggers for the levels of ``model.log.Level``.
LEVEL_ALIASES: Final = {
    "warning": "warn",
    "err": "error",
    "information": "info",
    "critical": "fatal",
    "crit": "fatal",
    "panic": "fatal",
}
LEVELS: Final = LEVEL_NAMES[1:]
# First parts of the names that Taskscope and the source of a record give; others are the record's own.
_OURS: Final = frozenset(
    {"container", "data_stream", "ecs", "event", "host", "log", "orchestrator", "service"}
    | {"taskscope", "trace"}
)
_UNDOTTED: Final = frozenset({MESSAGE, TIMESTAMP})
_FRACTION = re.compile(r"(?<=:[0-9]{2})\.([0-9]+)")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
# What every record has for Taskscope's own use; nothing that a search could tell apart.
_UNSEARCHED: Final = frozenset(
    {"event.created", "ecs.version", "log.original_bytes", "taskscope.source"}
)
NUMBERS: Final = frozenset({"taskscope.task.run", "log.offset"})  # numbers by themselves


def resolve(name: str) -> str | None:
    """Return the full name of a field; None if it cannot be searched or looks like a slip in a short name.

    A name that nobody but the record can have given is one of the record's own fields: ``status``
    is ``fields.status``, ``user.id`` is ``fields.user.id``.
    """
    if name in QUERY_FIELDS:
        return QUERY_FIELDS[name]
    if name in _UNSEARCHED or name in (OWN_FIELDS, "fields"):
        return None
    if name in _UNDOTTED or name.startswith(OWN_FIELDS):
        return name
    first, dot, _ = name.partition(".")
    if dot and first in _OURS:
        return name
    return OWN_FIELDS + name if dot or not _near(name) else None


def field_name(name: str) -> str:
    """Return the full name of a field as people write it.

    Raises:
        QueryError: If there can be no such field.
    """
    full = resolve(name)
    if full is None:
        raise QueryError(unknown_field(name))
    return full


def unknown_field(name: str) -> str:
    """Return the sentence for a name that looks like a slip, or that nobody can search."""
    if not _near(name):
        return f'"{name}" cannot be searched; a record\'s own field is written fields.{name}'
    return (
        f'unknown field "{name}"; did you mean {_near(name)}? '
        f"A record's own field of this name is written fields.{name}"
    )


def _near(name: str) -> str:
    """Return the short name that this may have been meant for, "" if there is none."""
    known = [*QUERY_FIELDS, *_UNDOTTED]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return near[0] if near else ""


def whole(value: str) -> str | None:
    """Return a whole number as it is usually written, None if it is none."""
    return str(int(value)) if _WHOLE.fullmatch(value) else None


def no_number(name: str, value: str) -> str:
    """Return the sentence for a value that a numeric field cannot have."""
    return f'"{value}" is no whole number; {name} is compared as one: {name}:2, {name}:>=2'


def level(value: str) -> str | None:
    """Return the level that a word names, None if it names none."""
    lowered = value.lower()
    lowered = LEVEL_ALIASES.get(lowered, lowered)
    return lowered if lowered in LEVELS else None


def unknown_level(value: str) -> str:
    """Return the sentence for a level that cannot be."""
    near = difflib.get_close_matches(value.lower(), LEVELS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f'"{value}" is no level; levels are {", ".join(LEVELS)} and none{hint}'


def timestamp_ns(text: str) -> int | None:
    """Return nanoseconds since the epoch for a date or time in RFC 3339 (UTC if it names no zone)."""
    fraction = _FRACTION.search(text)
    digits = fraction[1] if fraction else ""
    try:
        moment = datetime.fromisoformat(text.replace(f".{digits}", "", 1) if fraction else text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(digits[:9].ljust(9, "0"))


def moment(ts_ns: int) -> str:
    """Return a time as RFC 3339 in UTC with nanoseconds."""
    seconds, nanos = divmod(ts_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
