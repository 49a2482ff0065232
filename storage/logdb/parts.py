"""The two parts of the store, sealed and recent, and the one lock between them.

Whoever looks under the lock sees each record in exactly one of the two.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

from msgspec import Struct

from model.errors import StorageError
from storage.logdb.chunk import Chunk
from storage.logdb.files import Files
from storage.logdb.manifest import Manifest
from storage.logdb.segment import Segment


class Snapshot(Struct, frozen=True):
    """The store at one moment.

    Attributes:
        segments: The segments asked for; their files stay for the length of the ``with``.
        chunks: Everything that is in no segment, oldest first.
        newest_seq: The last batch there is.
    """

    segments: tuple[Segment, ...]
    chunks: list[Chunk]
    newest_seq: int


class Parts:
    """What is stored. ``recent`` and ``next_seq`` are read and written under ``lock`` only."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.lock = Lock()
        self.arrived = Condition(self.lock)
        self.recent: list[Chunk] = []
        self.recent_bytes = 0
        self.recent_since = 0.0
        self.next_seq = 1
        self.is_open = False

    def load(self, chunks: list[Chunk]) -> None:
        """Start with what the WAL had."""
        with self.lock:
            self.recent = list(chunks)
            self.recent_bytes = sum(chunk.size for chunk in chunks)
            self.recent_since = time.monotonic()
            seqs = [chunk.seq + 1 for chunk in chunks]
            self.next_seq = max([self.files.manifest.next_seq, *seqs])
            self.is_open = True

    def add(self, chunk: Chunk) -> None:
        """Take a chunk that is in the WAL; call under ``lock``."""
        if not self.recent:
            self.recent_since = time.monotonic()
        self.recent.append(chunk)
        self.recent_bytes += chunk.size
        self.next_seq = chunk.seq + 1
        self.arrived.notify_all()

    def recent_age_seconds(self) -> float:
        """Return how long the oldest record in memory has been there, 0 if there is none."""
        with self.lock:
            return time.monotonic() - self.recent_since if self.recent else 0.0

    def adopt(self, manifest: Manifest, sealed: int = 0) -> None:
        """Put a manifest in force that is on the disk; the first ``sealed`` chunks are in it now."""
        with self.lock:
            self.files.adopt(manifest)
            del self.recent[:sealed]
            self.recent_bytes = sum(chunk.size for chunk in self.recent)
            self.recent_since = time.monotonic()

    @contextmanager
    def snapshot(self, start_ns: int = -(2**63), end_ns: int = 2**63 - 1) -> Iterator[Snapshot]:
        """Hold the store as it is now, the segments only within some times.

        Raises:
            StorageError: If the store is not open.
        """
        with self.lock:
            if not self.is_open:
                raise StorageError("the log store is not running")
            segments = tuple(
                segment
                for segment in self.files.manifest.segments
                if segment.min_ts_ns <= end_ns and segment.max_ts_ns >= start_ns
            )
            chunks, newest = list(self.recent), self.next_seq - 1
            self.files.pin(segments)
        try:
            yield Snapshot(segments, chunks, newest)
        finally:
            self.files.unpin(segments)
