"""The spool: files in a directory that keep chunks while the receiver is away, and beyond a crash.

Each process writes files of its own. Files whose process has died are taken over by any other that
uses the directory. What is written has left the process but is not synced: it survives the process,
not a power failure of the machine.
"""

import os
import time
import uuid
from collections import deque
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final

from taskscope_logging._outlets import Chunk
from taskscope_logging._segment import DamagedError, Segment

SUFFIX: Final = ".tslog"
# a service that crashed a thousand times must not cost its next process a thousand descriptors
TAKEN_MAX: Final = 8
_PARTS: Final = 8


class SpoolFullError(OSError):
    """The directory holds as much as it may."""


class Spool:
    """Chunks in the order in which they were appended; for one thread at a time, except ``empty``.

    Args:
        directory: May be shared with other processes; it is made if it is not there.
        limit_bytes: The most that all files of the directory take together.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        # a file is deleted as a whole: in parts, room is free before all is delivered
        self._part_bytes = limit_bytes // _PARTS
        self._taken: deque[Segment] = deque()
        self._own: deque[Segment] = deque()
        self._forsaken: set[str] = set()

    @property
    def empty(self) -> bool:
        """Nothing is left of what this process has written or taken over."""
        return not (self._taken or self._own)

    def prepare(self) -> None:
        """See to the directory, so that what is wrong with it is known before it is needed.

        Raises:
            OSError: If it can not be made or written to.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise PermissionError(f"{self._directory} cannot be written to")

    def take_over(self) -> bool:
        """Take over some of the files whose processes have died; return whether there may be more.

        Raises:
            OSError: If one of them cannot be read, or is none; the next call passes it over.
        """
        if len(self._taken) >= TAKEN_MAX:
            return True
        problem: OSError | None = None
        held = {segment.path.name for segment in chain(self._taken, self._own)}
        for name in sorted({entry.name for entry in self._files()} - held - self._forsaken):
            if len(self._taken) >= TAKEN_MAX:
                return True
            try:
                segment = Segment.take_over(self._directory / name)
            except OSError as error:
                self._forsaken.add(name)
                problem = error
                continue
            if segment is not None:
                self._taken.append(segment)
        if problem is not None:
            raise problem
        return False

    def append(self, chunk: Chunk) -> Segment:
        """Keep a chunk; return the file that has it.

        Raises:
            SpoolFullError: If it would be more than the limit.
            OSError: If the disk does not take it.
        """
        if self._used_bytes() + len(chunk.message) > self._limit_bytes:
            raise SpoolFullError(f"{self._directory} holds {self._limit_bytes} bytes")
        if not self._own or self._own[-1].size >= self._part_bytes:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # by name is by age, for whoever takes it over
            name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
            self._own.append(Segment.create(self._directory / name))
        segment = self._own[-1]
        try:
            segment.append(chunk)
        except OSError:
            if segment.drained:
                self._delete(segment)
            raise
        return segment

    def head(self) -> tuple[Chunk, Segment] | None:
        """Return the first chunk and the file that has it; what others left comes first.

        Raises:
            OSError: If it cannot be read. The next call passes it over.
        """
        for segments in (self._taken, self._own):
            while segments:
                try:
                    chunk = segments[0].head()
                except DamagedError:
                    raise
                except OSError:
                    self._forsake(segments.popleft())
                    raise
                if chunk is not None:
                    return chunk, segments[0]
                self._delete(segments[0])
        return None

    def acknowledge(self, segment: Segment) -> None:
        """Delete the chunk that ``head`` has returned, which is the first one of this file.

        Raises:
            OSError: If the disk does not take it; here, it is passed over all the same.
        """
        if segment not in self._taken and segment not in self._own:
            return  # the spool was closed meanwhile; who takes the file over sends it again
        try:
            segment.acknowledge()
        finally:
            if segment.drained:
                self._delete(segment)

    def _delete(self, segment: Segment) -> None:
        (self._taken if segment in self._taken else self._own).remove(segment)
        try:
            segment.delete()
        except OSError:
            self._forsake(segment)
            raise

    def _forsake(self, segment: Segment) -> None:
        """Let go of a file that stays; this process does not take it over again, and send it again, for ever."""
        segment.close()
        self._forsaken.add(segment.path.name)

    def _used_bytes(self) -> int:
        used = 0
        for entry in self._files():
            with suppress(FileNotFoundError):  # delivered by another process meanwhile
                used += entry.stat(follow_symlinks=False).st_size
        return used

    def _files(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._directory) as entries:
                return [entry for entry in entries if entry.name.endswith(SUFFIX)]
        except FileNotFoundError:
            return []

    def close(self) -> None:
        """Let go of the files, which others may take over then; in a forked child, of the parent's.

        Safe twice.
        """
        for segment in chain(self._taken, self._own):
            segment.close()
        self._taken.clear()
        self._own.clear()
