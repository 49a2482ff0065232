"""Taking batches: duplicates out, WAL, memory. Sealing takes them from there."""

import errno
import logging
from threading import Lock

import numpy as np

from model.clock import Clock
from model.errors import DeliveryError, reason_of
from model.log import Delivery, LogBatch
from model.source import source_key
from storage.logdb.chunk import Chunk
from storage.logdb.files import Files
from storage.logdb.metrics import LogDbMetrics
from storage.logdb.parts import Parts
from storage.logdb.sources import Sources, covered
from storage.logdb.wal import WalWriter

_log = logging.getLogger(__name__)


class Written:
    """The ticket of a batch that is in the WAL already."""

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """See ``model.samples.Ticket``; there is nothing left to wait for."""
        return True


class Writer:
    """Appends to the store; its WAL files hold exactly what ``parts.recent`` holds."""

    def __init__(
        self, files: Files, parts: Parts, clock: Clock, metrics: LogDbMetrics, max_bytes: int
    ) -> None:
        self._files = files
        self._parts = parts
        self._clock = clock
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._wal: WalWriter | None = None
        self._retired: list[WalWriter] = []  # not synced yet
        self._sync_lock = Lock()  # guards what is done to files outside of parts.lock
        self.sources = Sources()

    def start(self, sources: Sources) -> None:
        """Begin a WAL file; if that cannot be, the first append tries again."""
        self.sources = sources
        try:
            self._wal = self._next_wal()
        except OSError as error:
            _log.error("log store: cannot write its log yet: %s", error)

    def append(self, batch: LogBatch) -> tuple[Delivery, Written]:
        """See ``storage.interface.LogStore.append``."""
        status = np.full(len(batch), 201, dtype=np.int16)
        if not len(batch):
            return Delivery(status), Written()
        source = source_key(batch.source_id)
        with self._parts.lock:
            if not self._parts.is_open:
                raise DeliveryError("the log store is not running", retryable=True)
            fresh = self.sources.new(source, batch.offsets)
            stored = int(fresh.sum())
            if stored:
                self._check_room()
                kept = batch if stored == len(batch) else batch.take(np.flatnonzero(fresh))
                self._store(Chunk(self._parts.next_seq, source, self._clock.now_ns(), kept))
        status[~fresh] = 409
        self._metrics.records.labels("stored").inc(stored)
        self._metrics.records.labels("duplicate").inc(len(batch) - stored)
        reasons = dict.fromkeys(np.flatnonzero(~fresh).tolist(), "stored already")
        return Delivery(status, reasons), Written()

    def rotate(self) -> int:
        """Begin a new WAL file and return its number; call under ``parts.lock``.

        Raises:
            OSError: If it cannot be made; the old one stays in use then.
        """
        if self._wal is None or not self._wal.is_empty:
            old, self._wal = self._wal, self._next_wal()
            if old is not None:
                self._retired.append(old)
        return int(self._wal.path.stem)

    def sync(self) -> None:
        """Bring what is written to the disk."""
        with self._sync_lock:
            with self._parts.lock:
                retired, self._retired = self._retired, []
                current = self._wal
            try:
                for wal in retired:
                    wal.sync()
                if current is not None and current.dirty:
                    current.sync()
            except OSError as error:
                self._metrics.failures.labels("sync").inc()
                _log.error("log store: its log could not be synced (%s); writing it anew", error)
                self._rewrite()
            for wal in retired:
                wal.close()

    def close(self) -> None:
        """Sync and close the WAL; twice does no harm."""
        self.sync()
        with self._parts.lock:
            wal, self._wal = self._wal, None
        if wal is not None:
            wal.close()

    def _check_room(self) -> None:
        if self._parts.recent_bytes > self._max_bytes:
            self._reject("behind", "the log store cannot write segments as fast as lines come")

    def _store(self, chunk: Chunk) -> None:
        try:
            if self._wal is None:
                self._wal = self._next_wal()
            self._wal.write(chunk)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._reject(
                "disk_full" if full else "io", f"the log store cannot write: {reason_of(error)}"
            )
        self._parts.add(chunk)
        start, end = covered(chunk.batch.offsets, chunk.batch.end_offset)
        self.sources.add(chunk.source, start, end, chunk.taken_ns)

    def _rewrite(self) -> None:
        """Write all of the WAL to a new file: after a failed fsync its pages may be lost, however often one tries."""
        with self._parts.lock:
            try:
                broken, self._wal = self._wal, self._next_wal()
                if broken is not None:
                    broken.close()
                for chunk in self._parts.recent:
                    self._wal.write(chunk)
            except OSError as error:
                self._metrics.failures.labels("sync").inc()
                _log.error("log store: its log could not be written anew: %s", error)

    def _next_wal(self) -> WalWriter:
        return WalWriter(self._files.wal_path(self._files.next_wal_number()))

    def _reject(self, reason: str, sentence: str) -> None:
        self._metrics.rejected.labels(reason).inc()
        raise DeliveryError(sentence, retryable=True)
