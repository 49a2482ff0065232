"""One file of the spool: chunks with lengths and checksums, and up to where they are acknowledged.

magic (8), position (8), then for each chunk: length (4), CRC-32 (4), MessagePack [id, records, message].
Whoever has the file's lock (flock) owns it; a process that dies lets go of it, however it dies.
"""

import fcntl
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Final

import msgpack

from taskscope_logging._outlets import Chunk

_MAGIC: Final = b"tslog\x00\x00\x01"
_HEAD: Final = struct.Struct(">8sQ")
_ENTRY: Final = struct.Struct(">II")
_ENTRY_BYTES_MAX: Final = 64 << 20
# a link or a FIFO in a directory that others can write to is not followed and not waited for
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK


class DamagedError(OSError):
    """Something of a file cannot be understood; what is behind it, if anything, comes next."""


class Segment:
    """A file that this process owns; ``create`` and ``take_over`` make them.

    Attributes:
        path: Where it is.
        size: Its bytes.
    """

    def __init__(self, path: Path, descriptor: int, position: int, size: int) -> None:
        self.path = path
        self.size = size
        self._descriptor = descriptor
        self._position = position
        self._next = position

    @classmethod
    def create(cls, path: Path) -> "Segment":
        """Return a new, empty one.

        Raises:
            OSError: If there is no room for it, or it must not be made.
        """
        descriptor = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if not _lock(descriptor):  # another process has looked in just now, and deleted it
                raise BlockingIOError(f"{path} was taken")
            _write(descriptor, _HEAD.pack(_MAGIC, _HEAD.size), 0)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, _HEAD.size, _HEAD.size)

    @classmethod
    def take_over(cls, path: Path) -> "Segment | None":
        """Return what a process that has ended left; None if its owner lives, or it is not there.

        Raises:
            DamagedError: If it is no such file.
            OSError: If it cannot be opened or read.
        """
        try:
            descriptor = os.open(path, _OPEN)
        except (FileNotFoundError, PermissionError):  # delivered meanwhile, or another user's
            return None
        try:
            owned = _lock(descriptor)
            if owned:
                size = os.fstat(descriptor).st_size
                head = os.pread(descriptor, _HEAD.size, 0)
                if len(head) < _HEAD.size:  # its process died before it wrote anything
                    return cls(path, descriptor, size, size)
                magic, position = _HEAD.unpack(head)
                if magic != _MAGIC:
                    raise DamagedError(f"{path} is no spool of taskscope-logging")
                if not _HEAD.size <= position <= size:
                    position = _HEAD.size
                return cls(path, descriptor, position, size)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @property
    def drained(self) -> bool:
        """All of it is acknowledged."""
        return self._position >= self.size

    def append(self, chunk: Chunk) -> None:
        """Write a chunk at the end.

        Raises:
            OSError: If the disk does not take it; the file is as before.
        """
        body = msgpack.packb([chunk.id, chunk.records, chunk.message])
        data = _ENTRY.pack(len(body), zlib.crc32(body)) + body
        try:
            _write(self._descriptor, data, self.size)
        except OSError:
            # the next is written over what is there of this one; a full disk gets the room back
            os.ftruncate(self._descriptor, self.size)
            raise
        if self.drained:
            self._next = self.size + len(data)
        self.size += len(data)

    def head(self) -> Chunk | None:
        """Return the first chunk that is not acknowledged; None if there is none.

        Raises:
            DamagedError: If it cannot be understood. It is passed over; with a length that cannot
                be, as a process leaves it that died while it wrote, so is all that follows.
            OSError: If it cannot be read.
        """
        if self.drained:
            return None
        begin = self._position + _ENTRY.size
        head = os.pread(self._descriptor, _ENTRY.size, self._position)
        length, checksum = _ENTRY.unpack(head) if len(head) == _ENTRY.size else (_ENTRY_BYTES_MAX, 0)  # fmt: skip
        if length > min(self.size - begin, _ENTRY_BYTES_MAX):
            lost = self.size - self._position
            self._position = self.size
            raise DamagedError(f"the last {lost} bytes of {self.path} are torn")
        self._next = begin + length
        body = os.pread(self._descriptor, length, begin)
        if zlib.crc32(body) != checksum or len(body) != length:
            self._position = self._next
            raise DamagedError(f"{length} bytes of {self.path} are damaged")
        return Chunk(*msgpack.unpackb(body))

    def acknowledge(self) -> None:
        """Pass over the first chunk for good, be it that ``head`` returned it or that it was just appended.

        Raises:
            OSError: If the disk does not take it: who takes the file over would send it again.
        """
        self._position = self._next
        os.pwrite(self._descriptor, self._position.to_bytes(8, "big"), len(_MAGIC))

    def delete(self) -> None:
        """Delete the file, then let go of it.

        Raises:
            OSError: If it cannot be deleted; this process has let go of it all the same.
        """
        try:
            self.path.unlink(missing_ok=True)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file; in a forked child the parent's lock stays. Safe twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file that is a regular one and has not been deleted meanwhile; return whether that went well."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    found = os.fstat(descriptor)
    return stat.S_ISREG(found.st_mode) and found.st_nlink > 0


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
