"""A cgroup of its own for a process task, on version 1 or 2, where making one is permitted.

It lies at ``/taskscope/<task id>`` below each controller's mount (v1) or below the unified one (v2).
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PARENT: Final = "taskscope"
_V1_CONTROLLERS: Final = ("memory", "cpu", "cpuacct", "pids")
_V2_CONTROLLERS: Final = ("memory", "cpu", "pids", "io")
_REMOVE_TRIES: Final = 20


class Cgroup:
    """One task's cgroup.

    Attributes:
        path: Below the mount points, as in ``TaskStatus.cgroup``.
    """

    def __init__(self, name: str, directories: Iterable[Path], *, unified: bool) -> None:
        self.path = f"/{PARENT}/{name}"
        self._directories = tuple(directories)
        self._unified = unified

    def limit_memory(self, max_bytes: int) -> None:
        """Set the memory limit; swap does not extend it where the kernel accounts swap.

        Raises:
            OSError: If the kernel refuses.
        """
        memory = self._memory()
        if self._unified:
            _write(memory / "memory.max", max_bytes)
            with contextlib.suppress(OSError):
                _write(memory / "memory.swap.max", 0)
            return
        _write(memory / "memory.limit_in_bytes", max_bytes)
        with contextlib.suppress(OSError):
            _write(memory / "memory.memsw.limit_in_bytes", max_bytes)

    def join(self, pid: int) -> None:
        """Move a process in; its children follow.

        Raises:
            OSError: If the kernel refuses.
        """
        for directory in self._directories:
            _write(directory / "cgroup.procs", pid)

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed here for want of memory; 0 where it does not say."""
        file = "memory.events" if self._unified else "memory.oom_control"
        with contextlib.suppress(OSError, ValueError):
            for line in (self._memory() / file).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0

    def remove(self) -> None:
        """Remove it; strays that are still in it are killed first."""
        for _ in range(_REMOVE_TRIES):
            left = False
            for directory in self._directories:
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    left = True
                    _kill_all(directory)
            if not left:
                return
            time.sleep(0.05)

    def _memory(self) -> Path:
        return self._directories[0]


def make_cgroup(name: str, root: Path = Path("/sys/fs/cgroup")) -> Cgroup:
    """Make a cgroup for a task.

    Raises:
        OSError: If that is not permitted; nothing is left behind then.
    """
    unified = (root / "cgroup.controllers").exists()
    if unified:
        _enable(root)
        (root / PARENT).mkdir(exist_ok=True)
        _enable(root / PARENT)
        directories = [root / PARENT / name]
    else:
        mounts = {(root / c).resolve(): None for c in _V1_CONTROLLERS if (root / c).is_dir()}
        if not any(mount.joinpath("memory.limit_in_bytes").exists() for mount in mounts):
            raise FileNotFoundError(f"no memory controller below {root}")
        directories = [mount / PARENT / name for mount in mounts]
    made: list[Path] = []
    try:
        for directory in directories:
            directory.mkdir(parents=True)
            made.append(directory)
    except OSError:
        for directory in made:
            directory.rmdir()
        raise
    return Cgroup(name, directories, unified=unified)


def remove_if_empty(name: str, root: Path = Path("/sys/fs/cgroup")) -> None:
    """Remove what a killed supervisor left behind; a cgroup with processes in it stays."""
    for parent in (root / PARENT, *(root / c / PARENT for c in _V1_CONTROLLERS)):
        with contextlib.suppress(OSError):
            (parent / name).rmdir()


def cgroup_refusal(root: Path = Path("/sys/fs/cgroup")) -> str:
    """Say why no cgroup can be made here; "" if one can. Makes one and removes it."""
    try:
        make_cgroup("probe", root).remove()
    except FileExistsError:
        return ""  # somebody else is just trying
    except OSError as error:
        return refusal_sentence(error)
    return ""


def refusal_sentence(error: OSError) -> str:
    """Say in half a sentence why there is no cgroup."""
    where = f" at {error.filename}" if error.filename else ""
    return f"no cgroup of its own ({error.strerror or error}{where})"


def _enable(directory: Path) -> None:
    """Give the children of a v2 cgroup its controllers; those that it lacks itself are left out."""
    there = (directory / "cgroup.controllers").read_text().split()
    wanted = [f"+{name}" for name in _V2_CONTROLLERS if name in there]
    if "+memory" not in wanted:
        raise PermissionError(1, "the memory controller is not available", str(directory))
    (directory / "cgroup.subtree_control").write_text(" ".join(wanted))


def _kill_all(directory: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        for pid in (directory / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _write(file: Path, value: int) -> None:
    file.write_text(str(value))
