"""Standard-library logging as consistent JSON lines with trace ids; see the README.

taskscope_logging.setup(service="orders")
taskscope_logging.setup(service="orders", to="tcp://127.0.0.1:24224")
"""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from taskscope_logging._fields import Fields
from taskscope_logging._handler import Handler
from taskscope_logging._outlets import Forward, Outlet, Stdout

__all__ = ["Handler", "setup"]
__version__ = "0.1.0"


def setup(
    service: str,
    *,
    namespace: str = "",
    version: str = "",
    to: str = "stdout",
    level: int | str = logging.INFO,
    fields: Mapping[str, Any] | None = None,
    queue_records: int = 10_000,
    queue_bytes: int = 8 << 20,
    exit_seconds: float = 2.0,
    logger: logging.Logger | None = None,
) -> Handler:
    """Send what is logged as JSON objects to one place; replaces the handlers that are there.

    Args:
        service: Name of the application, ``service.name``.
        namespace: Which one of several of that name, ``service.namespace``.
        version: Of the application, ``service.version``.
        to: "stdout", or ``tcp://host:port`` of a receiver of fluentd's forward protocol.
        level: What is less is not logged.
        fields: Further fields of every record.
        queue_records: How many records may wait; when there are more, the oldest go and are counted.
        queue_bytes: How much may wait.
        exit_seconds: How long the end of the process may wait for what is queued.
        logger: Whose handlers; the root's if left out.

    Raises:
        ValueError: If ``to`` is no such address.
    """
    constant: dict[str, Any] = {"service.name": service}
    if namespace:
        constant["service.namespace"] = namespace
    if version:
        constant["service.version"] = version
    handler = Handler(
        Fields({**constant, **(fields or {})}),
        _outlet(to, service),
        queue_records=queue_records,
        queue_bytes=queue_bytes,
        exit_seconds=exit_seconds,
    )
    target = logger or logging.getLogger()
    for former in list(target.handlers):
        target.removeHandler(former)
        if isinstance(former, Handler):
            former.close()
    target.addHandler(handler)
    target.setLevel(level)
    logging.captureWarnings(True)
    return handler


def _outlet(to: str, service: str) -> Outlet:
    if to == "stdout":
        return Stdout()
    parts = urlsplit(to)
    if parts.scheme != "tcp" or not parts.hostname or not parts.port:
        raise ValueError(
            f"{to!r} is no place to log to; it looks like stdout or tcp://127.0.0.1:24224"
        )
    return Forward(parts.hostname, parts.port, tag=service)
