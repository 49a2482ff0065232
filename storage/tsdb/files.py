"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_all(fd: int, data: bytes) -> None:
    """Write every byte.

    Raises:
        OSError: If the disk is full or broken; some bytes may be written then.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and fsync it.

    Raises:
        OSError: If that fails.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_synced(path: Path, data: bytes) -> None:
    """Write a file so that at any time either the old or the new content is there.

    Raises:
        OSError: If that fails.
    """
    temporary = path.with_name(path.name + ".tmp")
    write_synced(temporary, data)
    temporary.replace(path)
    fsync_directory(path.parent)


def fsync_directory(path: Path) -> None:
    """Make renames and new names in a directory survive power loss.

    Raises:
        OSError: If that fails.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
