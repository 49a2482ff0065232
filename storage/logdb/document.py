"""A stored record as an ECS document with dotted names."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import orjson

from model.identity import ECS_FIELDS
from model.log import LEVEL_NAMES, Flag
from model.source import source_name
from storage.interface import LogRecord
from storage.logdb.chunk import Chunk, record_id, slice_text
from storage.logquery.fields import moment
from storage.logquery.match import as_text

# Columns of a record, in the order of a segment: those that counting and sorting look at stand together, the
# large ones behind them. Identity columns have the names of TaskIdentity.
IDENTITY_COLUMNS: Final = tuple(ECS_FIELDS)
COLUMNS: Final = (
    "ts_ns",
    "source",
    "offset",
    "seq",
    "level",
    "stream",
    "run",
    "dataset",
    *IDENTITY_COLUMNS,
    "trace_id",
    "tags",
    "read_ns",
    "original_bytes",
    "flags",
    "message",
    "fields",
)
# ECS names of the columns that hold a field's text as it is.
TEXT_FIELDS: Final[dict[str, str]] = {
    **{ecs: column for column, ecs in ECS_FIELDS.items()},
    "taskscope.stream": "stream",
    "event.dataset": "dataset",
    "trace.id": "trace_id",
}
NUMBER_FIELDS: Final = {"taskscope.task.run": "run", "log.offset": "offset"}

Row = Mapping[str, Any]


def row_of(chunk: Chunk, index: int) -> dict[str, Any]:
    """Return one record of a chunk as a row."""
    batch = chunk.batch
    fields = slice_text(batch.buf, batch.fields.starts, batch.fields.ends, index)
    return {
        "ts_ns": int(batch.ts_ns[index]),
        "source": chunk.source,
        "offset": int(batch.offsets[index]),
        "seq": chunk.seq,
        "message": slice_text(batch.buf, batch.message.starts, batch.message.ends, index),
        "level": int(batch.levels[index]),
        "stream": batch.stream,
        "run": batch.run,
        "dataset": batch.dataset,
        **{name: getattr(batch.identity, name) for name in IDENTITY_COLUMNS},
        "fields": fields or None,
        "trace_id": batch.trace_ids.get(index, ""),
        "tags": orjson.dumps(batch.tags).decode() if batch.tags else "",
        "read_ns": batch.read_ns,
        "original_bytes": int(batch.original_bytes[index]),
        "flags": int(batch.flags[index]),
    }


def to_record(row: Row) -> LogRecord:
    """Return a row as the reader's users see it; empty values are left out."""
    document: dict[str, Any] = {"@timestamp": moment(row["ts_ns"]), "message": row["message"]}
    if row["level"]:
        document["log.level"] = level_name(row["level"])
    document["taskscope.source"] = source_name(row["source"])
    document["log.offset"] = row["offset"]
    for field, column in TEXT_FIELDS.items():
        if row[column]:
            document[field] = row[column]
    if row["run"]:
        document["taskscope.task.run"] = row["run"]
    if row["tags"]:
        document.update(orjson.loads(row["tags"]))
    if row["fields"]:
        document.update(own_fields(row["fields"]))
    document["event.created"] = moment(row["read_ns"])
    if row["original_bytes"]:
        document["log.original_bytes"] = row["original_bytes"]
    if row["flags"]:
        document["log.flags"] = [f.name.lower() for f in Flag if row["flags"] & f]
    return LogRecord(record_id(row["source"], row["offset"]), row["ts_ns"], document)


def own_fields(text: str | bytes) -> dict[str, Any]:
    """Return what the record itself said as ``fields.<dotted path>``; nothing if it is no JSON object."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return dict(_flat("fields", value)) if isinstance(value, dict) else {}


def own_texts(text: str | bytes, names: Collection[str]) -> dict[str, list[str]]:
    """Return the values of some of the record's own fields, numbers as the record spelled them.

    Objects within lists count as if each stood there alone, as Elasticsearch's flattened type has it.
    """
    try:
        value = orjson.loads(text)
        if not isinstance(value, dict):
            return {}
        found: dict[str, list[str]] = {}
        if _collect("fields", value, names, found):
            found.clear()
            _collect("fields", json.loads(text, parse_float=str, parse_int=str), names, found)
    except (ValueError, RecursionError):
        return {}
    return found


def tag_values(tags: str, field: str) -> tuple[str, ...]:
    """Return the values of a tag as text."""
    value = orjson.loads(tags).get(field) if tags else None
    if isinstance(value, list):
        return tuple(as_text(one) for one in value if one is not None and not isinstance(one, dict))
    return () if value is None else (as_text(value),)


def _collect(name: str, value: Any, names: Collection[str], found: dict[str, list[str]]) -> bool:
    """Add the texts below a name; tells whether a number may have been spelled in another way."""
    if isinstance(value, dict):
        odd = [_collect(f"{name}.{key}", inner, names, found) for key, inner in value.items()]
        return any(odd)
    if isinstance(value, list):
        odd = [_collect(name, inner, names, found) for inner in value]
        return any(odd)
    if value is None or name not in names:
        return False
    found.setdefault(name, []).append(as_text(value))
    return isinstance(value, float) or (value == 0 and value is not False)


def _flat(prefix: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        name = f"{prefix}.{key}"
        if isinstance(inner, dict):
            yield from _flat(name, inner)
        elif inner is not None:
            yield name, inner


def level_name(code: int) -> str:
    """Return ECS's ``log.level``; codes of a later version are no level."""
    return LEVEL_NAMES[code] if code < len(LEVEL_NAMES) else ""
