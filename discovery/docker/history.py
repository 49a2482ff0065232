"""The containers known when Taskscope last ran, so that ended and removed ones stay listed."""

import contextlib
from pathlib import Path

from msgspec import Struct

from discovery.docker.container import Container
from discovery.wire import VERSION, WireVersionError, decode, encode
from model.errors import DiscoveryError
from model.task import Task
from storage.files import replace_file


class _Kept(Struct, frozen=True):
    task: Task
    removed: bool = False
    last_event_ns: int = 0


class _File(Struct, frozen=True):
    version: int
    containers: tuple[_Kept, ...]


class History:
    """A versioned file, replaced as a whole. A file of another version is left alone and not used.

    Attributes:
        problem: Why there is no history, "" if there is one.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._foreign = False
        self.problem = ""

    def load(self) -> list[Container]:
        """Return the containers in the file; none if there is no file or it is not for us."""
        if self._path is None:
            return []
        try:
            content = decode(self._path.read_bytes(), _File)
        except FileNotFoundError:
            return []
        except DiscoveryError as error:
            self.problem = f"{self._path} {error}; ended containers of earlier are not listed"
            self._foreign = isinstance(error, WireVersionError)
            if not self._foreign:
                with contextlib.suppress(OSError):
                    self._path.replace(self._path.with_suffix(".bad"))
            return []
        except OSError as error:
            self.problem = f"{self._path} cannot be read: {error.strerror}"
            return []
        found = []
        for kept in content.containers:
            container = Container(kept.task.identity, kept.task.status)
            container.removed = kept.removed
            container.last_event_ns = kept.last_event_ns
            found.append(container)
        return found

    def save(self, containers: list[Container]) -> None:
        """Write the file; what goes wrong is said in ``problem`` and tried again at the next change."""
        if self._path is None or self._foreign:
            return
        kept = tuple(_Kept(c.task, c.removed, c.last_event_ns) for c in containers if not c.ignored)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, encode(_File(VERSION, kept)))
            self.problem = ""
        except OSError as error:
            self.problem = f"{self._path} cannot be written: {error.strerror}"
