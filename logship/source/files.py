"""One log file, known by what it is rather than by its name.

Identity is the stream's key (container or run directory), device and inode, the first line, and a
generation that counts truncations. It survives renaming; a descriptor is kept while there is
something to read, so a deleted file is read to its end. The bytes before the furthest place that
was seen are kept: a file that has others there was truncated and written anew.
"""

import os
import stat
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from logship.checkpoint import Entry
from logship.source.known import Identified

FINGERPRINT_BYTES: Final = 1024
ANCHOR_BYTES: Final = 256
ANCHORS_MAX: Final = 4  # a copy may have been made a little before the last
MARKS_MAX: Final = 100
READ_BYTES: Final = 512 << 10  # less costs more per line, more costs memory and page faults
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class LogFile(Struct):
    """An open log file.

    Attributes:
        path: Where it was last seen.
        descriptor: -1 once it is closed.
        device: Of the file system.
        inode: Within it.
        fingerprint: Hash of the first line; "" as long as there is none.
        source_id: Its identity in document ids; "" until the fingerprint is known.
        size: When last looked at.
        mtime_ns: When last looked at.
        live: Whether the writer still appends to it (it has the stream's own name).
        grown_at: When it was last seen to grow, monotonic seconds.
        generation: Above 0 where the inode was that of something else before.
        lost_at: When what it was had gone (truncated in place), monotonic seconds; 0 if it has not.
        positions: By sink, where reading goes on.
        acked: By sink, up to where it has everything.
        counted: Up to where its records were counted.
        marks: Sizes and when each was first seen, at least a second apart.
        anchors: Places that were seen, rising, and the bytes before each.
    """

    path: Path
    descriptor: int
    device: int
    inode: int
    fingerprint: str = ""
    source_id: str = ""
    size: int = 0
    mtime_ns: int = 0
    live: bool = True
    grown_at: float = 0.0
    generation: int = 0
    lost_at: float = 0.0
    positions: dict[str, int] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
    counted: int = 0
    marks: list[tuple[int, float]] = field(default_factory=list)
    anchors: list[tuple[int, bytes]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, *, follow: bool = False) -> "LogFile":
        """Open a file; devices, pipes and folders are refused unopened, links unless ``follow``.

        Raises:
            OSError: If it is not there, may not be read or is no regular file.
        """
        descriptor, status = open_regular(path, follow=follow)
        return cls(path, descriptor, status.st_dev, status.st_ino)

    def first_look(self, now: float, now_ns: int) -> None:
        """Take note of size and age, so that what has long been quiet need not be waited for."""
        status = os.fstat(self.descriptor)
        self.size, self.mtime_ns = status.st_size, status.st_mtime_ns
        self.grown_at = now - max(0.0, (now_ns - status.st_mtime_ns) / 1e9)
        self.marks.append((self.size, now))

    def look(self, now: float) -> bool:
        """Take note of the size; True, and nothing else, if a file that is known was truncated or written anew."""
        if self.descriptor < 0:
            return False
        status = os.fstat(self.descriptor)
        changed = (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns)
        if changed and self.source_id and (status.st_size < self.size or not self.intact()):
            return True
        self.mtime_ns = status.st_mtime_ns
        if status.st_size != self.size:
            self.size = status.st_size
            self.grown_at = now
            if not self.marks or now - self.marks[-1][1] >= 1.0:
                self.marks.append((self.size, now))
            if len(self.marks) > MARKS_MAX:
                self.marks[1:] = self.marks[2::2]
        return False

    def delivered(self, sinks: Sequence[str]) -> int:
        """Return up to where every sink has everything."""
        return min((self.acked.get(sink, 0) for sink in sinks), default=0)

    def unread(self, sinks: Sequence[str]) -> int:
        """Return how many bytes of it some sink will not have been given."""
        return max(0, self.size - min((self.positions.get(sink, 0) for sink in sinks), default=0))

    def behind_seconds(self, sinks: Sequence[str], now: float) -> float:
        """Return how long ago the oldest bytes were first seen that not every sink has."""
        delivered = self.delivered(sinks)
        if delivered >= self.size:
            self.marks.clear()
            return 0.0
        while self.marks and self.marks[0][0] <= delivered:
            self.marks.pop(0)
        return max(0.0, now - (self.marks[0][1] if self.marks else self.grown_at))

    def read(self, offset: int, size: int = READ_BYTES) -> bytes:
        """Return up to ``size`` bytes at an offset."""
        return os.pread(self.descriptor, size, offset) if self.descriptor >= 0 else b""

    def first_line(self, *, final: bool) -> str:
        """Return the hash of the first line, or "" while it is still being written."""
        head = self.read(0, FINGERPRINT_BYTES)
        end = head.find(b"\n")
        if end < 0 and len(head) < FINGERPRINT_BYTES and not (final and head):
            return ""
        return blake2b(head[: end + 1] if end >= 0 else head, digest_size=12).hexdigest()

    # ------------------------------------------------------------ is it still the same

    def remember(self, end: int, data: bytes) -> None:
        """Keep the bytes before a place that was seen; ``data`` ends there."""
        last_end, last = self.anchors[-1] if self.anchors else (0, b"")
        if end <= last_end:
            return  # another sink was here before
        tail = data[-ANCHOR_BYTES:]
        if len(tail) < ANCHOR_BYTES and last_end == end - len(data):
            tail = (last + tail)[-ANCHOR_BYTES:]
        self.anchors.append((end, tail))
        del self.anchors[:-ANCHORS_MAX]

    def remember_all(self) -> None:
        """Keep the last bytes that are there now."""
        data = self.read(max(0, self.size - ANCHOR_BYTES), min(ANCHOR_BYTES, self.size))
        if data:
            self.remember(max(0, self.size - ANCHOR_BYTES) + len(data), data)

    def has(self, anchors: Sequence[tuple[int, bytes]]) -> bool:
        """Tell whether it has the bytes of the last anchor, or of the one before if it ends between them.

        An earlier one counts only if it is long: two files may begin with the same few lines.
        """
        for number, (end, data) in enumerate(reversed(anchors)):
            if end <= self.size and (not number or len(data) == ANCHOR_BYTES):
                return self.read(end - len(data), len(data)) == data
        return False

    def begins(self, other: "LogFile") -> bool:
        """Tell whether it looks like the beginning of another, or all of it."""
        at = max(0, self.size - ANCHOR_BYTES)
        data = self.read(at, self.size - at)
        return bool(data) and data == other.read(at, len(data))

    def intact(self) -> bool:
        """Tell whether the bytes before the furthest place that was seen are still there.

        Asked after a read, it tells that what was read is of this file as it is known.
        """
        if self.anchors:
            end, data = self.anchors[-1]
            return self.read(end - len(data), len(data)) == data
        return self.first_line(final=True) in (self.fingerprint, "") or not self.fingerprint

    def mark(self) -> tuple[int, str]:
        """See ``Identified.mark``."""
        at, data = self.anchors[-1] if self.anchors else (0, b"")
        return (at, f"{len(data):x}.{_hash(data)}") if at else (0, "")

    def holds(self, entry: Entry) -> bool:
        """See ``Identified.holds``; what it holds is remembered."""
        furthest = entry.furthest
        if furthest > self.size:
            return False
        at, wanted = furthest, ""
        length = min(ANCHOR_BYTES, furthest)
        if entry.mark:
            size, _, wanted = entry.mark.partition(".")
            try:
                at, length = entry.mark_at, int(size, 16)
            except ValueError:
                return False
        data = self.read(at - length, length)
        if len(data) != length or (wanted and _hash(data) != wanted):
            return False
        self.anchors = [(at, data)] if at else []
        return True

    def close(self) -> None:
        """Close the descriptor; safe twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _hash(data: bytes) -> str:
    return blake2b(data, digest_size=10).hexdigest()


def open_regular(path: Path, *, follow: bool) -> tuple[int, os.stat_result]:
    """Open a regular file for reading, and nothing else even for a moment.

    Opening a pipe would wake its writer, opening a device may do anything. So the name is resolved
    to a place first, and opened once that is known to be a file.

    Raises:
        OSError: If it is not there, may not be read or is no regular file.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(22, "is no regular file", str(path))
        return os.open(f"/proc/self/fd/{place}", _FLAGS), status
    finally:
        os.close(place)


def make_source_id(key: str, file: Identified) -> str:
    """Return a source's identity: the same for the same file after any restart, even without a checkpoint."""
    generation = f":{file.generation}" if file.generation else ""
    return f"{key}:{file.inode:x}:{file.fingerprint}{generation}"
