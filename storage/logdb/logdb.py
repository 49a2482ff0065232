"""The embedded log store as one thing. ``storage.interface.LogStore`` and ``LogReader`` say what it promises.

A batch goes into the WAL and into the part in memory (writer.py); from there it is sealed, sorted,
into a segment (maintenance.py). Searches look at both parts (reader.py).
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from model.clock import Clock
from model.log import Delivery, LogBatch
from model.samples import Ints
from storage.interface import FacetValue, LogContext, LogPage, LogQuery, LogReader, LogStore
from storage.logdb.files import Files
from storage.logdb.maintenance import Maintenance
from storage.logdb.metrics import LogDbMetrics
from storage.logdb.parts import Parts
from storage.logdb.reader import Reader
from storage.logdb.sealed import Sealed
from storage.logdb.settings import LogDbSettings
from storage.logdb.walk import Walk
from storage.logdb.writer import Writer, Written

_log = logging.getLogger(__name__)

_MAINTAIN_SECONDS: Final = 1.0
_EXPIRE_SECONDS: Final = 60.0
_AFTER_FAILURE_SECONDS: Final = 10.0


class LogDb:
    """A log store in one directory, for one process. All methods may be called from any thread."""

    def __init__(
        self,
        directory: Path,
        settings: LogDbSettings,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._stopping = Event()
        self._due = Event()
        self._threads: list[Thread] = []
        self._metrics = LogDbMetrics(registry)
        self._files = Files(directory)
        self._parts = Parts(self._files)
        self._writer = Writer(
            self._files, self._parts, clock, self._metrics, max_bytes=4 * settings.seal_bytes
        )
        self._maintenance = Maintenance(
            self._files,
            self._parts,
            self._writer,
            settings=settings,
            clock=clock,
            metrics=self._metrics,
            lost=self._found_damaged,
        )
        self._walk = Walk(
            self._files.segments,
            settings.query_memory_bytes,
            settings.query_threads,
            self._found_damaged,
        )
        self._reader = Reader(self._parts, Sealed(self._walk), self._metrics, self._stopping)
        self.lost: tuple[str, ...] = ()  # what was found damaged since the start, a sentence each

    def start(self) -> None:
        """Open the directory, replay the WAL and start taking batches.

        Raises:
            StorageError: If the directory cannot be used, is in use, or is of a later version.
        """
        found = self._files.open()
        self.lost = ()
        for kind, size, sentence in found.lost:
            self._damage(kind, size, sentence)
        self._writer.start(found.sources)
        self._files.keep_reserve()
        self._stopping.clear()
        self._parts.load(found.chunks)
        self._threads = [
            Thread(target=self._sync_loop, name="logdb-sync", daemon=True),
            Thread(target=self._maintain_loop, name="logdb-maintain", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._maintenance.show()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop taking batches, bring everything to the disk, end tails. Safe twice and before start."""
        with self._parts.arrived:
            self._parts.is_open = False
            self._stopping.set()
            self._due.set()
            self._parts.arrived.notify_all()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads = []
        self._writer.close()
        self._walk.close()
        self._files.close()

    def append(self, batch: LogBatch) -> tuple[Delivery, Written]:
        """See ``LogStore.append``; the batch is written when this returns, and can be found."""
        answer = self._writer.append(batch)
        if self._parts.recent_bytes > self._settings.seal_bytes:
            self._due.set()
        return answer

    def search(self, query: LogQuery) -> LogPage:
        """See ``LogReader.search``."""
        return self._reader.search(query)

    def tail(self, text: str, cursor: str, stop: Event) -> Iterator[LogPage]:
        """See ``LogReader.tail``."""
        return self._reader.tail(text, cursor, stop)

    def histogram(
        self, query: LogQuery, buckets: int
    ) -> tuple[Ints, Mapping[str, npt.NDArray[np.int64]]]:
        """See ``LogReader.histogram``."""
        return self._reader.histogram(query, buckets)

    def context(
        self, record_id: str, ts_ns: int, *, before: int = 20, after: int = 20
    ) -> LogContext:
        """See ``LogReader.context``."""
        return self._reader.context(record_id, ts_ns, before=before, after=after)

    def facets(
        self, query: LogQuery, fields: Sequence[str], limit: int = 10
    ) -> Mapping[str, tuple[FacetValue, ...]]:
        """See ``LogReader.facets``."""
        return self._reader.facets(query, fields, limit)

    def seal(self) -> None:
        """Bring everything that is in memory into a segment now.

        Raises:
            OSError: If the segment cannot be written.
        """
        self._maintenance.seal()

    def _found_damaged(self, size: int, sentence: str) -> None:
        self._damage("segments", size, sentence)

    def _damage(self, kind: str, size: int, sentence: str) -> None:
        self._metrics.lost_bytes.labels(kind).inc(size)
        _log.error("log store: %s", sentence)
        self.lost = (*self.lost, sentence)

    def _sync_loop(self) -> None:
        while not self._stopping.wait(self._settings.sync_seconds or 0.01):
            self._writer.sync()

    def _maintain_loop(self) -> None:
        expire_at = time.monotonic()
        while not self._stopping.is_set():
            self._due.wait(_MAINTAIN_SECONDS)
            self._due.clear()
            if self._stopping.is_set():
                return
            try:
                full = self._parts.recent_bytes > self._settings.seal_bytes
                if full or self._parts.recent_age_seconds() > self._settings.seal_seconds:
                    self._maintenance.seal()
                while not self._stopping.is_set() and self._maintenance.merge():
                    self._maintenance.show()
                if time.monotonic() >= expire_at:
                    expire_at = time.monotonic() + _EXPIRE_SECONDS
                    self._maintenance.expire()
                self._walk.rest({s.name for s in self._files.manifest.segments})
                self._maintenance.show()
            except Exception as error:
                self._metrics.failures.labels("maintain").inc()
                _log.error("log store: tidying up failed and is tried again: %s", error)
                self._stopping.wait(_AFTER_FAILURE_SECONDS)


if TYPE_CHECKING:

    def _is_a_store(db: LogDb) -> tuple[LogStore, LogReader]:
        return db, db
