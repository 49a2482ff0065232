"""Sandbox files: a stream copied into a file that is rotated by size, at line ends."""

import contextlib
import os
from pathlib import Path
from threading import Lock
from typing import Final

from storage.files import rotate

MAX_BYTES: Final = 10 * 1024 * 1024  # as Mesos' LogrotateContainerLogger
KEPT_FILES: Final = 3
# What a line has beyond the limit and this is left out: else one line without an end would rotate
# every other line away. More than log shipping keeps of a line.
_LONGEST_OVERHANG: Final = 1024 * 1024 + 4096


class RotatingFile:
    """``stdout``, then ``stdout.1`` (the newest) to ``stdout.3``; several threads may write.

    Rotation renames, so a reader that has the file open can go on to its end. What cannot be written
    (disk full) is counted in ``lost_bytes``; writing goes on when there is room again. A line that is
    left out in part says so at its end, and is counted there too.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT_FILES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._lock = Lock()
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._line_start = True
        self._left_out = -1  # bytes of the line that is being left out; -1 for none
        self.lost_bytes = 0

    def write(self, data: bytes) -> None:
        """Append, and rotate at the first line end beyond the limit."""
        with self._lock:
            while data:
                if self._left_out >= 0:
                    data = self._leave_out(data)
                    continue
                part, data = self._cut(data)
                self._append(part)
                if data:
                    self._rotate()
                elif self._size >= self._max_bytes + _LONGEST_OVERHANG and not self._line_start:
                    self._left_out = 0

    def close(self) -> None:
        """Close the file; safe twice."""
        with self._lock:
            self._file.close()

    def _cut(self, data: bytes) -> tuple[bytes, bytes]:
        """Split where the file must be rotated; the first part goes into the current one."""
        room = self._max_bytes - self._size
        if len(data) <= room:
            return data, b""
        end = data.rfind(b"\n", 0, max(room, 0)) + 1
        if not end and (self._size == 0 or not self._line_start):
            end = data.find(b"\n") + 1  # first the rest of the line that has begun
        elif not end:
            return b"", data
        return (data[:end], data[end:]) if end else (data, b"")

    def _leave_out(self, data: bytes) -> bytes:
        """Pass over the rest of a line; return what follows, with the mark in front."""
        end = data.find(b"\n")
        passed = len(data) if end < 0 else end
        self._left_out += passed
        self.lost_bytes += passed
        if end < 0:
            return b""
        mark = f" [{self._left_out} bytes cut]".encode()
        self._left_out = -1
        return mark + data[end:]

    def _append(self, part: bytes) -> None:
        view = memoryview(part)
        while view:
            try:
                written = os.write(self._file.fileno(), view)
            except OSError:
                self.lost_bytes += len(view)
                return
            self._size += written
            self._line_start = view[written - 1] == ord("\n")
            view = view[written:]

    def _rotate(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError):
            rotate(self._path, self._kept)
        self._file = self._path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._line_start = True


def copy_stream(source: int, into: RotatingFile, echo: int | None) -> None:
    """Copy a pipe into a file until its end, and to ``echo`` as well; closes the pipe."""
    try:
        while data := os.read(source, 65536):
            into.write(data)
            if echo is not None:
                with contextlib.suppress(OSError):
                    os.write(echo, data)
    except (OSError, ValueError):
        return  # the file was closed under a stray child that still writes
    finally:
        os.close(source)
