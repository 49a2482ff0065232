"""What came over a socket, put in order by whose it is: what an inbox takes."""

from typing import Any, Final

import orjson
from msgspec import Struct, field

from logship.spool.entry import Owner

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS
_DEPTH_MAX: Final = 50


class Group(Struct):
    """n records of one owner, in order.

    Attributes:
        owner: Whose.
        texts: Lines as they were logged, or JSON objects.
        times: Nanoseconds since the epoch, -1 where the sender gave none.
        streams: "stdout" or "stderr" of each line; empty where the owner's stream is that of all.
        partial: Rows that go on in the next line of their stream.
    """

    owner: Owner
    texts: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    partial: list[int] = field(default_factory=list)


def json_text(record: Any) -> str:
    """Return a record as a JSON object; what is no map becomes the message of one."""
    if not isinstance(record, dict):
        record = {"message": record if isinstance(record, str) else _plain(record, 0)}
    try:
        return orjson.dumps(record, default=_text, option=_OPTIONS).decode()
    except (TypeError, ValueError, RecursionError):  # keys that are bytes, texts that are no UTF-8
        return orjson.dumps(_plain(record, 0)).decode()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value)


def _plain(value: Any, depth: int) -> Any:
    """Return a value as JSON knows it."""
    if depth > _DEPTH_MAX:
        return "..."
    if isinstance(value, dict):
        return {_clean(_text(k)): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, depth + 1) for v in value]
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return int(value)
    return _clean(_text(value))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
