"""Tasks and healths as JSON: between agent and server, and in files. The only module that knows that format.

Versioned: a reader refuses what it does not know. Fields that are new in a later minor version have
defaults, so older readers of the same version ignore them and newer ones do without.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from model.errors import DiscoveryError
from model.health import TaskHealth
from model.task import Task, TaskID

T = TypeVar("T")

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class AgentState:
    """What one agent knows.

    Attributes:
        host: The agent's host, "" if the state is of none.
        tasks: Its tasks.
        healths: Their healths by task id.
    """

    version: int
    tasks: tuple[Task, ...]
    healths: dict[str, TaskHealth]
    host: str = ""


def encode_state(
    tasks: Iterable[Task], healths: Mapping[TaskID, TaskHealth], host: str = ""
) -> bytes:
    """Return tasks and their healths as JSON."""
    by_id = {str(task_id): health for task_id, health in healths.items()}
    return encode(AgentState(VERSION, tuple(tasks), by_id, host))


def decode_state(data: bytes) -> tuple[frozenset[Task], dict[TaskID, TaskHealth]]:
    """Return what ``encode_state`` was given.

    Raises:
        DiscoveryError: If the data is not that, or of another version.
    """
    state = decode(data, AgentState)
    return frozenset(state.tasks), {TaskID(k): v for k, v in state.healths.items()}


def encode(value: object) -> bytes:
    """Return a dataclass of model types as JSON."""
    return msgspec.json.encode(value, enc_hook=_plain)


def decode(data: bytes, kind: type[T]) -> T:
    """Read a dataclass of model types that has a `version` field.

    Raises:
        DiscoveryError: If the data does not fit, or is of another version.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).version
    except msgspec.MsgspecError as error:
        raise DiscoveryError(f"is not readable: {error}") from error
    if version != VERSION:
        raise DiscoveryError(f"has format version {version}; this Taskscope knows {VERSION}")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise DiscoveryError(f"is not readable: {error}") from error


@dataclass(frozen=True, slots=True)
class _Version:
    version: int


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(type(value).__name__)
