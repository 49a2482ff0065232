"""A rotated log that was compressed before it was read to its end, read like any other.

It is decompressed forward; nothing of it is put down anywhere. A place behind what was read last is
reached by beginning anew, so a few readers are kept, as the sinks may be at different places.
"""

import os
import time
import zlib
from pathlib import Path
from typing import Final

from msgspec import field

from logship.source.files import READ_BYTES, LogFile, open_regular

STEP_BYTES: Final = 256 << 10
TURN_SECONDS: Final = 0.1  # decompressing at a time, so that others are read too
CURSORS_MAX: Final = 3
BACK_BYTES: Final = 4096  # kept behind what is read, for a look back
SUFFIX: Final = ".gz"


class _Cursor:
    """Where a reader is: the last piece of text, and what it takes to go on."""

    def __init__(self) -> None:
        self.start = 0  # of ``text`` in the decompressed file
        self.text = b""
        self.at = 0  # in the compressed file
        self.ended = False
        self._engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._rest = b""

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def step(self, descriptor: int, keep: int) -> None:
        """Decompress some more; text before ``keep`` is let go.

        Raises:
            zlib.error: If it is damaged.
        """
        data = self._rest
        if not data:
            data = os.pread(descriptor, STEP_BYTES, self.at)
            self.at += len(data)
        if self._engine.eof:  # another member may follow
            data = data.lstrip(b"\0")
            if data:
                self._engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        if not data:
            self.ended = True
            return
        more = self._engine.decompress(data, STEP_BYTES)
        self._rest = self._engine.unconsumed_tail or self._engine.unused_data
        drop = max(0, min(keep - self.start, len(self.text)))
        self.text = self.text[drop:] + more
        self.start += drop


class GzipFile(LogFile):
    """See ``LogFile``; offsets are those of the decompressed text. ``size`` grows while it is measured."""

    measured: bool = False
    damaged: bool = False
    cursors: list[_Cursor] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, *, follow: bool = False) -> "GzipFile":
        """See ``LogFile.open``."""
        descriptor, status = open_regular(path, follow=follow)
        return cls(path, descriptor, status.st_dev, status.st_ino, live=False)

    def first_look(self, now: float, now_ns: int) -> None:
        """See ``LogFile.first_look``."""
        status = os.fstat(self.descriptor)
        self.mtime_ns = status.st_mtime_ns
        self.grown_at = now - max(0.0, (now_ns - status.st_mtime_ns) / 1e9)

    def look(self, now: float) -> bool:
        """Measure it, some of it at a time."""
        if self.measured or self.descriptor < 0:
            return False
        cursor = self._cursor(self.size)
        end = time.monotonic() + TURN_SECONDS
        try:
            while not cursor.ended and time.monotonic() < end:
                cursor.step(self.descriptor, cursor.end)
        except zlib.error:
            self.damaged = cursor.ended = True
        self.size = cursor.end
        self.measured = cursor.ended
        return False

    def read(self, offset: int, size: int = READ_BYTES) -> bytes:
        """See ``LogFile.read``; nothing comes while the way to the offset is still being made.

        Until it is known whose it is, somebody waits for the answer.
        """
        if self.descriptor < 0:
            return b""
        cursor = self._cursor(offset)
        end = time.monotonic() + TURN_SECONDS
        try:
            while cursor.end < offset + size and not cursor.ended:
                if self.source_id and time.monotonic() > end and cursor.end <= offset:
                    return b""
                cursor.step(self.descriptor, offset - BACK_BYTES)
        except zlib.error:
            self.damaged = cursor.ended = True
        at = offset - cursor.start
        return cursor.text[at : at + size]

    def _cursor(self, offset: int) -> _Cursor:
        """Return the reader that is nearest before an offset."""
        near = [cursor for cursor in self.cursors if cursor.start <= offset]
        if near:
            cursor = max(near, key=lambda cursor: cursor.start)
            self.cursors.remove(cursor)
        else:
            cursor = _Cursor()
        self.cursors.append(cursor)
        del self.cursors[:-CURSORS_MAX]
        return cursor

    def intact(self) -> bool:
        """See ``LogFile.intact``: nobody writes to it."""
        return True

    def close(self) -> None:
        """See ``LogFile.close``."""
        LogFile.close(self)
        self.cursors.clear()


def open_log(path: Path, *, follow: bool = False) -> LogFile:
    """Open a log, compressed or not.

    Raises:
        OSError: As ``LogFile.open``.
    """
    return (GzipFile if path.name.endswith(SUFFIX) else LogFile).open(path, follow=follow)
