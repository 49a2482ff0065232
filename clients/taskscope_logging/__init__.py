"""Standard-library logging as consistent JSON lines with trace ids; see the README.

taskscope_logging.setup(service="orders")
taskscope_logging.setup(service="orders", to="tcp://127.0.0.1:24224")
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from taskscope_logging._fields import Fields
from taskscope_logging._handler import Handler
from taskscope_logging._outlets import Forward, Outlet, Stdout
from taskscope_logging._spool import Spool

__all__ = ["Handler", "setup"]
__version__ = "0.1.0"

_SPOOL_BYTES_MIN = 1 << 20


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
    spool: str | os.PathLike[str] | None = None,
    spool_bytes: int = 64 << 20,
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
        spool: Directory that keeps what has to wait while the receiver is away, beyond the end of
            the process too; it may be shared. None is what TASKSCOPE_LOGGING_SPOOL says, "" and
            an unset variable are none. Standard output has no use for it.
        spool_bytes: The most that all files of that directory take, about; a MiB at the least.
        exit_seconds: How long the end of the process may wait for what is queued.
        logger: Whose handlers; the root's if left out.

    Raises:
        ValueError: If ``to`` is no such address, or ``spool_bytes`` is too little.
    """
    constant: dict[str, Any] = {"service.name": service}
    if namespace:
        constant["service.namespace"] = namespace
    if version:
        constant["service.version"] = version
    outlet = _outlet(to, service)
    directory = os.environ.get("TASKSCOPE_LOGGING_SPOOL", "") if spool is None else os.fspath(spool)
    if spool_bytes < _SPOOL_BYTES_MIN:
        raise ValueError(f"spool_bytes is {spool_bytes}; the least is {_SPOOL_BYTES_MIN}")
    keeps = bool(directory) and isinstance(outlet, Forward)
    handler = Handler(
        Fields({**constant, **(fields or {})}),
        outlet,
        queue_records=queue_records,
        queue_bytes=queue_bytes,
        exit_seconds=exit_seconds,
        # a process may change its working directory, the spool stays where it is
        spool=Spool(Path(directory).absolute(), spool_bytes) if keeps else None,
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
