"""One file of a spool: a header, then records; only the newest is written.

The header is magic, birth (which spool it belongs to), position of its first byte and a CRC-32.
One that is damaged costs nothing: the position stands in the file's name too.
"""

import os
import struct
import zlib
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct

from storage.files import sync_path

MAGIC: Final = b"TSSPOOL1"
SUFFIX: Final = ".spool"
_FIELDS: Final = struct.Struct("<8s16sQ")
_CHECK: Final = struct.Struct("<I")
HEADER_BYTES: Final = _FIELDS.size + _CHECK.size
BIRTH_BYTES: Final = 16


class Segment(Struct):
    """A file: its place, the position of its first byte, and how many of its bytes count."""

    path: Path
    start: int
    size: int

    @property
    def end(self) -> int:
        """Position behind its last byte."""
        return self.start + self.size


class Writer:
    """The segment that grows."""

    def __init__(self, directory: Path, start: int, birth: bytes) -> None:
        """Make the file, durably.

        Raises:
            OSError: If that failed; there is no such file then.
        """
        path = directory / f"{start:020d}{SUFFIX}"
        head = _FIELDS.pack(MAGIC, birth, start)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(self._fd, head + _CHECK.pack(zlib.crc32(head)))
            sync_path(directory)
        except OSError:
            os.close(self._fd)
            path.unlink(missing_ok=True)
            raise
        self.segment = Segment(path, start, HEADER_BYTES)

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            OSError: If they could not be written whole; what of them was is taken back.
        """
        try:
            _write(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, self.segment.size)
            os.lseek(self._fd, self.segment.size, os.SEEK_SET)
            raise
        self.segment.size += len(data)

    def sync(self) -> None:
        """Bring what was written to the disk.

        Raises:
            OSError: If that failed; nobody knows then what of it is there.
        """
        os.fdatasync(self._fd)

    def cut(self, size: int) -> None:
        """Take back what is behind ``size``, if the disk lets us."""
        with suppress(OSError):
            os.ftruncate(self._fd, size)
        self.segment.size = size

    def close(self) -> None:
        """Close; safe twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def birth_of(path: Path) -> bytes | None:
    """Return which spool a segment belongs to, or None if its header is damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except OSError:
        return None
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        return None
    (check,) = _CHECK.unpack_from(head, _FIELDS.size)
    return head[8:24] if check == zlib.crc32(head[: _FIELDS.size]) else None


def segments_in(directory: Path) -> list[Segment]:
    """Return the segments of a directory, oldest first; bytes beyond the start of the next one do not count."""
    paths = sorted(p for p in directory.glob(f"*{SUFFIX}") if p.stem.isdigit() and p.is_file())
    found = [Segment(path, int(path.stem), path.stat().st_size) for path in paths]
    for older, newer in pairwise(found):
        older.size = min(older.size, newer.start - older.start)
    return found
