"""The names under which loggers put time, level, message and trace id; first match wins."""

from collections.abc import Container
from typing import Final

TIME: Final = ("@timestamp", "timestamp", "ts", "time", "datetime", "t")
LEVEL: Final = ("log.level", "level", "lvl", "severity", "levelname", "loglevel", "log_level", "severity_text")  # fmt: skip
MESSAGE: Final = ("message", "msg", "event", "body", "text", "log")
TRACE: Final = ("trace.id", "trace_id", "traceId", "traceid", "trace-id")
KNOWN: Final = (TIME, LEVEL, MESSAGE, TRACE)

ZERO_TRACE: Final = "0" * 32


def find(names: tuple[str, ...], present: Container[str]) -> str:
    """Return the first of the names that is present, or ""."""
    return next((name for name in names if name in present), "")
