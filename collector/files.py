"""Reading the kernel's small files: whole, as bytes, without a Python file object.

Files of /proc and cgroups have size 0, so they are read until the end, never by their size.
"""

import os
from typing import Final

_CHUNK: Final = 65536


def read(path: str) -> bytes:
    """Return the whole file.

    Raises:
        OSError: If it cannot be opened or read; a cgroup that goes meanwhile gives ENODEV.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, _CHUNK)
        if len(data) < 4096:  # a kernel file this short came in one piece
            return data
        pieces = [data]
        while data := os.read(fd, _CHUNK):
            pieces.append(data)
        return b"".join(pieces)
    finally:
        os.close(fd)


def read_or_none(path: str) -> bytes | None:
    """Return the whole file, or None where it cannot be read."""
    try:
        return read(path)
    except OSError:
        return None


def keyed(text: bytes) -> dict[bytes, bytes]:
    """Parse a file of ``key value`` lines; an odd last word is left out."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=False))


def number(text: bytes | None) -> float | None:
    """Return the number that the text is, or None if there is none (``max``, an empty file)."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def processes_below(directory: str) -> float | None:
    """Count the processes of a cgroup, its children included; None if it is gone.

    A container that makes cgroups of its own moves its first process into one of them, and its own
    ``cgroup.procs`` is then empty.
    """
    procs = read_or_none(directory + "cgroup.procs")
    if procs is None:
        return None
    if procs:
        return float(procs.count(b"\n"))
    below = (f"{directory}{name}/" for name in directories(directory))
    return sum((processes_below(child) or 0.0 for child in below), 0.0)


def directories(path: str) -> list[str]:
    """Return the names of the directories in a directory; none if it cannot be read."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def names(path: str) -> list[str]:
    """Return the names of all that is in a directory; none if it cannot be read."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []
