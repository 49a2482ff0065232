"""Keeps records on disk until every sink has them: data, fsync, then the answer to who sent them.

Positions are those of bytes, counted over all segments. Each process starts a segment of its own,
so nothing is ever written behind a torn record. Only what is synced is read. A segment goes when
all of it is delivered; the newest ones stay, because who sends something again after a restart is
known by them.
"""

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from logship.spool.frame import HEADER_BYTES, RECORD_BYTES_MAX, Scan, frame, scan
from logship.spool.segment import BIRTH_BYTES, Segment, Writer, birth_of, segments_in
from logship.spool.segment import HEADER_BYTES as FILE_HEADER_BYTES
from model.errors import StorageError, reason_of
from storage.failpoint import reach

READ_BYTES: Final = 512 << 10
SEGMENT_BYTES: Final = 8 << 20
KEPT_SEGMENTS: Final = 2
_log = logging.getLogger(__name__)


class Spool:
    """A bounded queue of byte strings on disk. Any thread may append, one reads.

    Args:
        directory: Its own; made if it is not there.
        disk_bytes: The most that it may hold.
        segment_bytes: A segment that is as long is followed by another.

    Attributes:
        directory: See above.
        name: Of the directory.
        birth: Who it is: another one after its directory was emptied.
        session: Another one each time it is opened; for ids that no former process has given.
        problem: Why nothing can be taken now, in words for people; "" if something can.
        begun: How many segments this process has begun.
        durable: Position up to which everything survives a power loss.
    """

    def __init__(
        self, directory: Path, *, disk_bytes: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.name = directory.name
        self.session = os.urandom(8).hex()
        self.problem = ""
        self.begun = 0
        self.directory = directory
        self._disk_bytes = disk_bytes
        self._segment_bytes = min(segment_bytes, max(1, disk_bytes // 4))
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._writer: Writer | None = None
        self._segments: list[Segment] = []
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segments = segments_in(directory)
        except OSError as error:
            self._refuse(f"{directory} cannot be used: {reason_of(error)}")
        births = (birth_of(segment.path) for segment in reversed(self._segments))
        self.birth = next((b for b in births if b is not None), None) or os.urandom(BIRTH_BYTES)
        self.durable = self._end = self._segments[-1].end if self._segments else 0
        self._lost: list[tuple[int, int]] = []

    @property
    def start(self) -> int:
        """Position of the oldest byte."""
        with self._lock:
            return self._segments[0].start if self._segments else self.durable

    @property
    def used_bytes(self) -> int:
        """Return how much it holds now."""
        with self._lock:
            return self._used()

    def _used(self) -> int:
        return sum(segment.size for segment in self._segments)

    # ------------------------------------------------------------ writing

    def append(self, payload: bytes) -> int:
        """Write a record; call ``sync`` with the position that is returned before anybody is told that it is safe.

        Raises:
            StorageError: If there is no room. Nothing was written; it may be tried again.
        """
        size = HEADER_BYTES + len(payload)
        if len(payload) > RECORD_BYTES_MAX:
            raise StorageError(f"a record of {len(payload)} bytes is too long for the log buffer")
        with self._lock:
            room = size + (FILE_HEADER_BYTES if self._due(size) else 0)
            if self._used() + room > self._disk_bytes:
                self._refuse(f"the log buffer {self.directory} is full ({self._disk_bytes} bytes, logship.buffer.disk_bytes) because a sink is behind")  # fmt: skip
                raise StorageError(self.problem)
            try:
                writer = self._writer if not self._due(size) else self._begin()
                assert writer is not None
                writer.write(frame(payload, self._end))
                self._end = writer.segment.end
                reach("buffer.written")
            except OSError as error:
                self._refuse(f"the log buffer {self.directory} cannot be written: {reason_of(error)}")  # fmt: skip
                raise StorageError(self.problem) from error
            if self.problem:
                _log.info("the log buffer %s takes records again", self.directory)
                self.problem = ""
            return self._end

    def _due(self, size: int) -> bool:
        """Tell whether a record needs a segment to be begun."""
        if self._writer is None:
            return True
        written = self._writer.segment.size
        return written > FILE_HEADER_BYTES and written + size > self._segment_bytes

    def _begin(self) -> Writer:
        if self._writer is not None:
            try:
                self._writer.sync()
            except OSError:
                self._abandon()
                raise
            self.durable = self._end
            self._writer.close()
            self._writer = None
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._writer = Writer(self.directory, self._end, self.birth)
        reach("buffer.segment_made")
        self._segments.append(self._writer.segment)
        self.begun += 1
        self._end = self._writer.segment.end
        return self._writer

    def sync(self, position: int) -> None:
        """Return when everything up to a position survives a power loss; threads share the wait.

        Raises:
            StorageError: If that failed: the record that ends there has to be appended again.
        """
        with self._syncing:
            with self._lock:
                if any(low < position <= high for low, high in self._lost):
                    raise StorageError(self.problem or "a record could not be brought to the disk")
                if self.durable >= position:
                    return
                writer, end = self._writer, self._end
            try:
                assert writer is not None
                writer.sync()
            except OSError as error:
                with self._lock:
                    if self.durable >= position:  # another thread began a segment meanwhile
                        return
                    if self._writer is writer:
                        self._abandon()
                self._refuse(f"the log buffer {self.directory} cannot be written: {reason_of(error)}")  # fmt: skip
                raise StorageError(self.problem) from error
            reach("buffer.synced")
            with self._lock:
                self.durable = max(self.durable, end)

    def _abandon(self) -> None:
        """Give up a segment whose pages nobody knows the state of; its positions do not come again."""
        if self._writer is not None:
            self._lost.append((self.durable, self._end))
            self._writer.cut(max(FILE_HEADER_BYTES, self.durable - self._writer.segment.start))
            self._writer.close()
            self._writer = None

    def _refuse(self, problem: str) -> None:
        if not self.problem:
            _log.warning("%s; nothing more is taken from sockets until there is room", problem)
        self.problem = problem

    # ------------------------------------------------------------ reading

    def read(self, position: int, size: int = READ_BYTES) -> Scan:
        """Return the durable records from a position on, about ``size`` bytes of them.

        Nothing in the files makes it fail: what is damaged is passed over and counted.

        Raises:
            OSError: If a file cannot be read.
        """
        with self._lock:
            durable = self.durable
            segments = [s for s in self._segments if s.end > position]
        damaged = 0
        for segment in segments:
            start = max(position, segment.start + FILE_HEADER_BYTES)
            end = min(segment.end, durable)
            if start >= end:
                position = max(position, end)
                continue
            found = self._scan(segment, start, end, size)
            found.damaged += damaged
            if found.records:
                return found
            damaged, position = found.damaged, found.end
        return Scan([], position, damaged)

    def _scan(self, segment: Segment, start: int, end: int, size: int) -> Scan:
        fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        damaged = 0
        try:
            while True:
                data = os.pread(fd, min(size, end - start), start - segment.start)
                # a file may be shorter than it was: nothing stands behind what is there
                last = start + len(data) >= end or len(data) < min(size, end - start)
                found = scan(data, start, last=last)
                if last:
                    found.end = end
                found.damaged += damaged
                if found.records or found.end >= end:
                    return found
                size = max(size, found.wanted)
                damaged, start = found.damaged, found.end
        finally:
            os.close(fd)

    def recent(self) -> Iterator[bytes]:
        """Yield the payloads of the newest segments, for what has to be known after a restart."""
        with self._lock:
            newest = self._segments[-1 - KEPT_SEGMENTS :]
        if not newest:
            return
        position = newest[0].start
        while position < self.durable:
            try:
                found = self.read(position)
            except OSError as error:
                _log.warning("a segment of the log buffer cannot be read: %s", error)
                return
            yield from (record.payload for record in found.records)
            if found.end <= position:
                return
            position = found.end

    def release(self, position: int) -> None:
        """Delete the segments that end before a position: everybody has them."""
        with self._lock:
            gone = [s for s in self._segments[: -1 - KEPT_SEGMENTS] if s.end <= position]
            for segment in gone:
                try:
                    segment.path.unlink(missing_ok=True)
                except OSError as error:
                    _log.warning("a delivered segment of the log buffer stays: %s", error)
                    return
                reach("buffer.segment_dropped")
                self._segments.remove(segment)

    def close(self) -> None:
        """Bring everything to the disk and close; safe twice."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.sync()
            self.durable = self._end
        except OSError as error:
            _log.warning("the log buffer %s could not be synced: %s", self.directory, error)
        writer.close()
