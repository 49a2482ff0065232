"""A disk that keeps only what was synced: every state in which a power loss could leave a directory.

The code under test works on a real directory. Before each system call of its file layer the state
is noted as a crash would leave it: what was fsynced is there; of the data that was not, nothing,
half, zeros in its place, or all; of the names that were made, moved or removed since their
directory was synced, the first k, for every k (a journal keeps their order).
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

_CALLS: Final = ("open", "write", "writev", "pwrite", "fsync", "fdatasync", "rename", "replace", "unlink", "remove", "link", "truncate", "ftruncate", "mkdir", "rmdir")  # fmt: skip
_SYNCS: Final = ("fsync", "fdatasync")


class State(Struct, frozen=True):
    """What is left after a power loss.

    Attributes:
        step: The system call before which the power went, and its number.
        promised: What the test had set as promised by then.
        files: Contents by path below the directory.
    """

    step: str
    promised: Any
    files: dict[str, bytes]

    def lay_out(self, directory: Path) -> Path:
        """Write the files below a new directory, and return it."""
        directory.mkdir(parents=True)
        for name, data in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return directory


class CrashingFiles:
    """Stands between the code under test and a directory, as a context manager.

    Set ``promised`` whenever the code has said that something is durable: each state carries what
    was promised before it. Read ``states`` afterwards.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._lock = threading.RLock()
        self._real: dict[str, Callable[..., Any]] = {}
        self._held: dict[int, int] = {}  # open descriptors, so that no inode is given twice
        self._names: dict[int, dict[str, int]] = {}  # by directory: what is in it
        self._data: dict[int, bytes] = {}
        self._safe_names: dict[int, dict[str, int]] = {}
        self._safe_data: dict[int, bytes] = {}
        self._pending: list[dict[int, dict[str, int]]] = []  # changes of names, none of them synced
        self._seen: set[object] = set()
        self._steps = 0
        self._busy = False
        self.promised: Any = None
        self.states: list[State] = []

    def __enter__(self) -> Self:
        """Take what is in the directory as synced, and begin to watch."""
        self._observe()
        self._safe_names = {key: dict(names) for key, names in self._names.items()}
        self._safe_data = dict(self._data)
        self._pending.clear()
        for name in _CALLS:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._wrapped(name))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip
        """Note the last state; everything is as before."""
        for name, real in self._real.items():
            setattr(os, name, real)
        self._observe()
        self._note("end")
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _wrapped(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                if self._busy:  # our own
                    return real(*args, **kwargs)
                self._busy = True
                try:
                    self._observe()
                    self._note(name)
                finally:
                    self._busy = False
                result = real(*args, **kwargs)
                self._busy = True
                try:
                    self._observe()
                    if name in _SYNCS:
                        self._sync(args[0])
                finally:
                    self._busy = False
                return result

        return call

    # ------------------------------------------------------------ what is there

    def _observe(self) -> None:
        """Take note of names and contents as every process sees them."""
        names: dict[int, dict[str, int]] = {}
        self._walk(self._root, names)
        changed = {key: found for key, found in names.items() if self._names.get(key) != found}
        self._names |= names
        if changed:
            self._pending.append(changed)

    def _walk(self, directory: Path, names: dict[int, dict[str, int]]) -> None:
        found: dict[str, int] = {}
        names[directory.stat().st_ino] = found
        with os.scandir(directory) as entries:
            for entry in entries:
                found[entry.name] = number = entry.inode()
                if number not in self._held:
                    self._held[number] = os.open(entry.path, os.O_RDONLY)
                if entry.is_dir(follow_symlinks=False):
                    self._walk(Path(entry.path), names)
                else:
                    size = entry.stat().st_size
                    self._data[number] = os.pread(self._held[number], size, 0)

    def _sync(self, descriptor: int) -> None:
        number = os.fstat(descriptor).st_ino
        if number in self._names:
            self._safe_names[number] = dict(self._names[number])
            for change in self._pending:
                change.pop(number, None)
            self._pending = [change for change in self._pending if change]
        elif number in self._data:
            self._safe_data[number] = self._data[number]

    # ------------------------------------------------------------ what a crash leaves

    def _note(self, name: str) -> None:
        self._steps += 1
        names = dict(self._safe_names)
        for count in range(len(self._pending) + 1):
            if count:
                names |= self._pending[count - 1]
            for keep in (_nothing, _half, _zeros, _everything):
                files = self._files(names, keep)
                key = (repr(self.promised), tuple(sorted(files.items())))
                if key not in self._seen:
                    self._seen.add(key)
                    self.states.append(State(f"{name} {self._steps}", self.promised, files))

    def _files(self, names: dict[int, dict[str, int]], keep: Callable[[bytes, bytes], bytes]) -> dict[str, bytes]:  # fmt: skip
        files: dict[str, bytes] = {}

        def collect(directory: int, prefix: str) -> None:
            for name, number in names.get(directory, {}).items():
                if number in self._names:
                    collect(number, f"{prefix}{name}/")
                else:
                    files[prefix + name] = keep(self._safe_data.get(number, b""), self._data[number])  # fmt: skip

        collect(self._root.stat().st_ino, "")
        return files


def _nothing(safe: bytes, data: bytes) -> bytes:
    return safe


def _everything(safe: bytes, data: bytes) -> bytes:
    return data


def _half(safe: bytes, data: bytes) -> bytes:
    if data.startswith(safe):
        return data[: (len(safe) + len(data)) // 2]
    middle = len(data) // 2
    return data[:middle] + safe[middle:]


def _zeros(safe: bytes, data: bytes) -> bytes:
    return safe + bytes(max(0, len(data) - len(safe)))
