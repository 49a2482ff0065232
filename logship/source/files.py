"""One log file, known by what it is rather than by its name.

Identity is the stream's key (container or run directory), the inode and the first line. It
survives renaming; a descriptor is kept while there is something to read, so a deleted file is
read to its end.
"""

import os
import stat
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from msgspec import Struct, field

FINGERPRINT_BYTES: Final = 1024
MARKS_MAX: Final = 100
READ_BYTES: Final = 512 << 10  # less costs more per line, more costs memory and page faults
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


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
        live: Whether the writer still appends to it (it has the stream's own name).
        grown_at: When it was last seen to grow, monotonic seconds.
        generation: Above 0 where inode and first line are those of another file before.
        positions: By sink, where reading goes on.
        acked: By sink, up to where it has everything.
        counted: Up to where its records were counted.
        marks: Sizes and when each was first seen, at least a second apart.
    """

    path: Path
    descriptor: int
    device: int
    inode: int
    fingerprint: str = ""
    source_id: str = ""
    size: int = 0
    live: bool = True
    grown_at: float = 0.0
    generation: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
    counted: int = 0
    marks: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> "LogFile":
        """Open a file; links and devices are refused.

        Raises:
            OSError: If it is not there, may not be read or is no regular file.
        """
        descriptor = os.open(path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(22, "is no regular file", str(path))
        except OSError:
            os.close(descriptor)
            raise
        return cls(path, descriptor, status.st_dev, status.st_ino)

    def first_look(self, now: float, now_ns: int) -> None:
        """Take note of size and age, so that what has long been quiet need not be waited for."""
        status = os.fstat(self.descriptor)
        self.size = status.st_size
        self.grown_at = now - max(0.0, (now_ns - status.st_mtime_ns) / 1e9)
        self.marks.append((self.size, now))

    def look(self, now: float) -> None:
        """Take note of the size."""
        if self.descriptor < 0:
            return
        size = os.fstat(self.descriptor).st_size
        if size != self.size:
            self.size = size
            self.grown_at = now
            if not self.marks or now - self.marks[-1][1] >= 1.0:
                self.marks.append((size, now))
            if len(self.marks) > MARKS_MAX:
                self.marks[1:] = self.marks[2::2]

    def delivered(self, sinks: Sequence[str]) -> int:
        """Return up to where every sink has everything."""
        return min((self.acked.get(sink, 0) for sink in sinks), default=0)

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

    def close(self) -> None:
        """Close the descriptor; safe twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def make_source_id(key: str, inode: int, fingerprint: str, generation: int) -> str:
    """Return a source's identity: the same for the same file after any restart, even without a checkpoint."""
    return f"{key}:{inode:x}:{fingerprint}" + (f":{generation}" if generation else "")


def rotated(base: Path) -> list[Path]:
    """Return the rotated files of a stream (``base.1`` ...), oldest first."""
    prefix = base.name + "."
    found = []
    try:
        with os.scandir(base.parent) as entries:
            for entry in entries:
                suffix = entry.name.removeprefix(prefix)
                if suffix != entry.name and suffix.isdigit():
                    found.append((int(suffix), Path(entry.path)))
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)]
