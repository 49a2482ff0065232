"""Field names and values as people write them, and what is meant."""

import difflib
from datetime import UTC, datetime
from typing import Final

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
_UNDOTTED: Final = frozenset({MESSAGE, TIMESTAMP})


def resolve(name: str) -> str | None:
    """Return the full name of a field, None if there can be no such field."""
    if name in QUERY_FIELDS:
        return QUERY_FIELDS[name]
    dotted = "." in name.strip(".") and name != OWN_FIELDS
    return name if name in _UNDOTTED or dotted else None


def unknown_field(name: str) -> str:
    """Return the sentence for a field that cannot be."""
    near = difflib.get_close_matches(name, [*QUERY_FIELDS, *_UNDOTTED], n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    return (
        f'unknown field "{name}"; {hint}A record\'s own field is written fields.{name}, '
        f'and text with a colon needs quotes: "{name}:..."'
    )


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
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
