"""What ``taskscope run`` was asked to run."""

import re
import secrets
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from model.errors import OperatorError

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$", re.IGNORECASE)
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class RunSpec(Struct, frozen=True):
    """A command and the identity it runs under.

    Attributes:
        name: Becomes ``task_name``.
        command: Program and arguments.
        cluster, host: Identity; the agent's.
        app: "" for the name.
        namespace: "" for ``default``.
        restart: Whether it is started again when it ends, whatever its exit code.
        max_restarts: Starts beyond the first; None for any number.
        labels: As a container's labels.
        ports: What it listens on, for checks and scrapes of it.
        memory_limit_bytes: 0 for none.
        echo: Whether its output is also copied to the supervisor's own.
    """

    name: str
    command: tuple[str, ...]
    cluster: str = "local"
    host: str = "localhost"
    app: str = ""
    namespace: str = ""
    restart: bool = False
    max_restarts: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    memory_limit_bytes: int = 0
    echo: bool = False


def new_task_id(name: str) -> str:
    """Return a fresh id for a task of this name; it is fit to be a directory's name."""
    return f"{_UNFIT.sub('-', name).strip('.-') or 'task'}-{secrets.token_hex(4)}"


def parse_size(text: str) -> int:
    """Return the bytes that ``64m``, ``1.5GiB`` or ``4096`` stand for (powers of 1024, as Docker's ``--memory``).

    Raises:
        OperatorError: If it is no size.
    """
    match = _SIZE.match(text.strip())
    if not match:
        raise OperatorError(f"{text!r} is no size; write it like 64m or 1g")
    number, unit = match.groups()
    return int(float(number) * 1024 ** " kmgt".index(unit.lower() or " "))
