"""A file that only takes room: given up when the disk is full, so that blocks can still be written.

Writing a block is what frees the log, so without it a full disk would stay full.
"""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

_ROOM_FACTOR: Final = 16  # the reserve is taken only where it is a small part of what is free


class Reserve:
    """The file; see the module."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def hold(self) -> None:
        """Take the room if it is not taken and there is plenty."""
        if self._path.exists():
            return
        with contextlib.suppress(OSError):  # no room for it: then there is none to reserve
            if shutil.disk_usage(self._path.parent).free < self._size * _ROOM_FACTOR:
                return
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)

    def give_up(self) -> bool:
        """Free the room; False if none was taken."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
