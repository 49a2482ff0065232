"""The store's directory: its format version, and the lock that keeps a second process out."""

import fcntl
import json
import logging
import os
import zlib
from pathlib import Path
from typing import Final

from model.errors import StorageError
from storage.tsdb.files import replace_synced

log = logging.getLogger(__name__)

FORMAT: Final = 1


class DirectoryLock:
    """An flock on ``<directory>/lock``; the kernel lets go of it when the process dies."""

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise StorageError(
                f"{directory} is in use by another Taskscope (process {owner or 'unknown'}); "
                "stop it, or use another data directory"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in; safe twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_directory(directory: Path) -> DirectoryLock:
    """Make the directory if it is not there, check its version, and lock it.

    Raises:
        StorageError: If it cannot be made, is in use, or is of an unknown version.
    """
    try:
        for part in ("wal", "blocks"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
    except OSError as error:
        raise StorageError(f"{directory}: {error.strerror}") from error
    try:
        _check_format(directory / "format.json")
    except BaseException:
        lock.release()
        raise
    return lock


def _check_format(path: Path) -> None:
    try:
        if not path.exists():
            _write_format(path)
            return
        text = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    try:
        found = json.loads(text)
        crc, version = found.get("crc32"), found["format"]
    except (ValueError, AttributeError, LookupError, TypeError):
        crc = version = None
    if version == FORMAT:
        return
    if version is None or (crc is not None and crc != _crc(version)):
        log.error("%s: damaged; segments and blocks say their versions themselves", path)
        _write_format(path)
        return
    raise StorageError(
        f"{path}: format {version} is unknown here (this Taskscope reads {FORMAT}); "
        "use the version that wrote it"
    )


def _write_format(path: Path) -> None:
    try:
        replace_synced(path, json.dumps({"format": FORMAT, "crc32": _crc(FORMAT)}).encode())
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _crc(version: object) -> int:
    return zlib.crc32(str(version).encode())
