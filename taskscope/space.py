"""Whether the data folder still has room."""

import shutil
from pathlib import Path
from typing import Final

LITTLE_BYTES: Final = 1 << 30
# below this the stores cannot roll a file over, whatever they still manage to append
FULL_BYTES: Final = 4 << 20


def free_bytes(folder: Path) -> int:
    """Return the room that is left where a folder is.

    Raises:
        OSError: If the folder is not there.
    """
    return shutil.disk_usage(folder).free


def shortage(folder: Path) -> str:
    """Return a sentence if the disk is full, else ""."""
    try:
        free = free_bytes(folder)
    except OSError as error:
        return f"the data folder {folder} cannot be looked at: {error.strerror}"
    if free >= FULL_BYTES:
        return ""
    return (
        f"the disk of the data folder {folder} is full ({free >> 10} KiB left): new samples are kept in "
        "memory only, log lines wait in their files; free some space or set shorter retention"
    )
