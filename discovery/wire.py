"""Tasks and healths as JSON: between agent and server, and in files. The only module that knows that format.

Versioned: a reader refuses what it does not know. Fields that are new in a later minor version have
defaults, so older readers of the same version ignore them and newer ones do without.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from model.errors import DiscoveryError
from model.health import TaskHealth
from model.task import Task, TaskID

ValueT = TypeVar("ValueT")

VERSION: Final = 1


class WireVersionError(DiscoveryError):
    """The data may be good, but for another version of Taskscope."""


class AgentState(Struct, frozen=True):
    """What one agent knows.

    Attributes:
        host: The agent's host.
        tasks: Its tasks.
        healths: Their healths by task id.
    """

    version: int
    host: str
    tasks: tuple[Task, ...]
    healths: dict[str, TaskHealth]


def encode_state(tasks: Iterable[Task], healths: Mapping[TaskID, TaskHealth], host: str) -> bytes:
    """Return what an agent knows as JSON, an ``AgentState``."""
    by_id = {str(task_id): health for task_id, health in healths.items()}
    return encode(AgentState(VERSION, host, tuple(tasks), by_id))


def encode(value: object) -> bytes:
    """Return a dataclass of model types as JSON."""
    return msgspec.json.encode(value, enc_hook=_plain)


def decode(data: bytes, kind: type[ValueT]) -> ValueT:
    """Read a dataclass of model types that has a ``version`` field.

    Raises:
        WireVersionError: If the data is of another version.
        DiscoveryError: If it does not fit.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).version
    except msgspec.MsgspecError as error:
        raise DiscoveryError(f"is not readable: {error}") from error
    if version != VERSION:
        raise WireVersionError(f"has format version {version}; this Taskscope knows {VERSION}")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise DiscoveryError(f"is not readable: {error}") from error


class _Version(Struct, frozen=True):
    version: int


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(type(value).__name__)
