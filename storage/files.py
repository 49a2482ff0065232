"""How a file comes to the disk whole (beside its place, synced, renamed), and how one that grows is rotated. For everybody's files."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path


def place(path: Path, write: Callable[[Path], None]) -> None:
    """Make a file appear whole, whatever dies in between; it survives a power loss when this returns.

    Args:
        path: The file; what was there is replaced.
        write: Writes the content under the temporary name that it is given.

    Raises:
        OSError: If that failed; the temporary file is gone then.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        sync_path(temporary)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def replace_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file's content as a whole; see ``place``."""

    def write(temporary: Path) -> None:
        temporary.touch(mode)
        temporary.write_bytes(data)

    place(path, write)


def sync_path(path: Path) -> None:
    """Bring a file or the names in a directory to the disk.

    Raises:
        OSError: If that failed.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rotate(path: Path, kept: int, *, at_bytes: int = 0) -> None:
    """Make room for a new file: ``path`` becomes ``path.1``, ``path.1`` becomes ``path.2`` ...

    By renaming, so that a reader that has one open can go on to its end.

    Args:
        path: The file that is written; nothing happens if it is not there.
        kept: How many numbered ones there may be; the oldest beyond that is gone.
        at_bytes: Nothing happens to a file that is smaller.

    Raises:
        OSError: If a file cannot be renamed.
    """
    if not path.exists() or path.stat().st_size < at_bytes:
        return
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, kept + 1))]
    for newer, older in reversed(list(pairwise(names))):
        if newer.exists():
            newer.replace(older)
