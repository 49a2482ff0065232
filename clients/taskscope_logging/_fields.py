"""From a record of the standard library to the fields of a log document (ECS 8 names)."""

import logging
import time
import traceback
from collections.abc import Mapping
from typing import Any

try:
    from opentelemetry.trace import get_current_span
except ImportError:  # the application does no tracing
    get_current_span = None  # type: ignore[assignment]

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LEVELS = ((50, "fatal"), (40, "error"), (30, "warn"), (20, "info"), (10, "debug"))
DEPTH_MAX = 8
TEXT_CHARS_MAX = 256 << 10


class Fields:
    """Makes documents.

    Args:
        constant: Fields of every record.
    """

    def __init__(self, constant: Mapping[str, Any]) -> None:
        self._constant = {str(name): plain(value) for name, value in constant.items()}

    def of(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return a record's fields, only of kinds that JSON and MessagePack know."""
        fields: dict[str, Any] = {
            "@timestamp": _timestamp(record.created),
            "log.level": level_name(record.levelno),
            "message": _cut(_message(record)),
            **self._constant,
            "log.logger": record.name,
            "process.pid": record.process,
            "process.thread.name": record.threadName,
        }
        if get_current_span is not None:
            context = get_current_span().get_span_context()
            if context.is_valid:
                fields["trace.id"] = format(context.trace_id, "032x")
                fields["span.id"] = format(context.span_id, "016x")
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, trace = record.exc_info
            fields["error.type"] = f"{kind.__module__}.{kind.__qualname__}".replace("builtins.", "", 1)  # fmt: skip
            fields["error.message"] = _cut(_text(error))
            fields["error.stack_trace"] = _cut("".join(traceback.format_exception(kind, error, trace)))  # fmt: skip
        elif record.stack_info:
            fields["error.stack_trace"] = _cut(str(record.stack_info))
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                fields[f"extra.{name}" if name in fields else name] = plain(value)
        return fields


def level_name(number: int) -> str:
    """Return the word of a level."""
    return next((name for least, name in _LEVELS if number >= least), "trace")


def _timestamp(created: float) -> str:
    seconds, micros = divmod(round(created * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micros:06d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # the arguments do not fit the text: it is worth more than nothing
        return f"{_text(record.msg)} (its arguments do not fit: {type(error).__name__})"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"


def _cut(text: str) -> str:
    short = text if len(text) <= TEXT_CHARS_MAX else text[:TEXT_CHARS_MAX] + "..."
    return short.encode("utf-8", "replace").decode() if not short.isascii() else short


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON and MessagePack know it; what they do not know becomes text."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _cut(value)
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if kind is float:
        return value if value - value == 0 else str(value)  # no NaN, no infinity
    if depth < DEPTH_MAX:
        if isinstance(value, Mapping):
            return {_cut(_text(k)): plain(v, depth + 1) for k, v in list(value.items())}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [plain(v, depth + 1) for v in list(value)]
    return _cut(_text(value))
