"""The write-ahead log: one thread writes what has gathered for 100 ms as one group, and fsyncs every second.

A group is a few records in one write: definitions that the segment lacks, scrapes, samples,
metadata. A group that cannot be written (disk full) is given up with an error on its ticket and
cut off the segment, so that the next one stands on clean ground.
"""

import contextlib
import errno
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.errors import StorageError
from model.samples import Exemplar, Floats
from storage.interface import Metadata, Refs
from storage.tsdb import records
from storage.tsdb.failpoint import reach
from storage.tsdb.files import fsync_directory, write_all
from storage.tsdb.head import Head, Layout
from storage.tsdb.index import SeriesIndex
from storage.tsdb.metrics import TsdbMetrics
from storage.tsdb.samples import Samples, concat
from storage.tsdb.settings import TsdbSettings
from storage.tsdb.walgroup import Group, SegmentInfo

log = logging.getLogger(__name__)


class Wal:
    """See the module.

    Args:
        directory: Where the segments are; it exists.
        index: Knows the labels of refs.
        settings: Sizes and times.
        metrics: What is counted.
        withdraw: Called with samples whose group could not be written.
    """

    def __init__(
        self,
        directory: Path,
        index: SeriesIndex,
        settings: TsdbSettings,
        metrics: TsdbMetrics,
        withdraw: Callable[[Samples], None],
    ) -> None:
        self._directory = directory
        self._index = index
        self._settings = settings
        self._metrics = metrics
        self._withdraw = withdraw
        self._wake = threading.Condition()
        self._group = Group(self)
        self._urgent = False
        self._sync_wanted = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._io = threading.RLock()  # whoever touches the open segment
        self._fd = -1
        self._trouble = ""
        self._unsynced: list[Group] = []
        self._unsynced_since = 0.0
        self._series_defined: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._layouts_defined: set[int] = set()
        self._all_metadata: dict[str, Metadata] = {}
        self.segments: dict[int, SegmentInfo] = {}
        self.number = 0

    @property
    def size_bytes(self) -> int:
        """Size of all segments."""
        return sum(info.bytes for info in list(self.segments.values()))

    def start(self, metadata: Mapping[str, Metadata], first: int = 1) -> None:
        """Begin a new segment behind those that are known, none before ``first``, and start the thread.

        On a full disk there is none yet: every group tries to make one until there is room.

        Raises:
            StorageError: If the segment cannot be made for another reason.
        """
        self._all_metadata = dict(metadata)
        self.number = max([first - 1, *self.segments])
        try:
            self._open_next()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise StorageError(f"{self._directory}: {error.strerror}") from error
            self._tell(f"{self._directory}: {error.strerror}")
        self._thread = threading.Thread(target=self._run, name="tsdb-wal", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Write and fsync what waits, and end the thread."""
        if self._thread is None:
            return
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join(timeout_seconds)
        self._thread = None
        with self._io:
            self._close()

    def scrape(self, layout: Layout, ts_ms: int, values: Floats) -> Group:
        """Log one scrape."""
        with self._wake:
            group = self._group
            group.scrapes.append(records.Scrape(layout.id, ts_ms, values))
            group.layouts[layout.id] = layout
            return self._grown(group, values.nbytes)

    def samples(self, samples: Samples) -> Group:
        """Log samples with their own timestamps."""
        with self._wake:
            group = self._group
            group.samples.append(samples)
            return self._grown(group, samples.nbytes)

    def exemplars(self, refs: Refs, exemplars: list[Exemplar], *, whole: bool = False) -> Group:
        """Log exemplars, one for each ref; if ``whole`` they are all that are kept."""
        with self._wake:
            self._group.add_exemplars(refs, exemplars, whole=whole)
            return self._grown(self._group, 64 * len(refs))

    def metadata(self, metadata: Mapping[str, Metadata]) -> Group:
        """Log what is known of metric families."""
        with self._wake:
            group = self._group
            group.metadata.update(metadata)
            return self._grown(group, 64 * len(metadata))

    def hurry(self, group: Group) -> None:
        """Write the group now: somebody waits for it."""
        with self._wake:
            if group is self._group and group.bytes:
                self._urgent = True
                self._wake.notify_all()

    def flush(self, timeout_seconds: float | None = None) -> bool:
        """Write and fsync everything taken so far; False on time-out.

        Raises:
            StorageError: If it could not be written.
        """
        with self._wake:
            group = self._group
            group.bytes += 1  # an empty group is written too: it is the sign that all before it is
            self._urgent = self._sync_wanted = True
            if group.begun == 0.0:
                group.begun = time.monotonic()
            self._wake.notify_all()
        return group.wait(timeout_seconds)

    def rotate(self) -> int:
        """Begin a new segment and return its number; what is taken from now on is in it or later ones.

        The caller sees to it that nothing is taken meanwhile and that ``flush`` came before.

        Raises:
            OSError: If the segment cannot be made.
        """
        with self._io:
            self._sync()
            self._open_next()
            return self.number

    def begin_segment(self) -> int:
        """As ``rotate``.

        Raises:
            StorageError: If the segment cannot be made.
        """
        try:
            return self.rotate()
        except OSError as error:
            raise StorageError(f"{self._directory}: {error.strerror}") from error

    def drop(self, done: Callable[[int, SegmentInfo], bool], head: Head) -> None:
        """Delete closed segments, from the oldest on, as long as ``done`` says that blocks have it all.

        Exemplars are in no block: those that are still kept are written again first.

        Raises:
            StorageError: If they could not be written; nothing is deleted then.
        """
        closed = ((n, info) for n, info in sorted(self.segments.items()) if n != self.number)
        gone = list(itertools.takewhile(lambda one: done(*one), closed))
        if any(info.exemplars for _, info in gone):
            with head.lock:  # nothing is appended between looking and logging
                self.exemplars(*head.exemplars.every(), whole=True)
            self.flush()
        with self._io:
            for number, _ in gone:
                self.path(number).unlink(missing_ok=True)
                del self.segments[number]
                reach("wal.segment_dropped")
            fsync_directory(self._directory)

    def path(self, number: int) -> Path:
        """Return the file of a segment."""
        return self._directory / f"{number:08d}.wal"

    def _grown(self, group: Group, size: int) -> Group:
        if not group.bytes:
            group.begun = time.monotonic()
            self._wake.notify_all()
        before = group.bytes
        group.bytes += size + 1  # nothing at all still needs its ticket
        if before < self._settings.commit_bytes <= group.bytes:
            self._wake.notify_all()
        return group

    def _run(self) -> None:
        while True:
            group, stopping = self._next()
            if group is not None:
                self._commit(group)
            due = time.monotonic() - self._unsynced_since >= self._settings.fsync_ms / 1000
            try:
                if self._unsynced and (due or self._sync_wanted or stopping):
                    self._sync()
            except Exception:  # the thread must live: others wait for it
                log.exception("fsync of the write-ahead log failed")
            finally:
                if group is not None:
                    group.done.set()
            if stopping:
                return

    def _next(self) -> tuple[Group | None, bool]:
        """Wait until there is something to write, or an fsync is due, or the end has come."""
        with self._wake:
            while not self._stopping:
                now = time.monotonic()
                group = self._group
                wait = None
                if group.bytes:
                    wait = group.begun + self._settings.commit_ms / 1000 - now
                    if self._urgent or wait <= 0 or group.bytes >= self._settings.commit_bytes:
                        break
                if self._unsynced:
                    until_sync = self._unsynced_since + self._settings.fsync_ms / 1000 - now
                    if until_sync <= 0:
                        return None, False
                    wait = until_sync if wait is None else min(wait, until_sync)
                self._wake.wait(wait)
            self._urgent = False
            group, self._group = self._group, Group(self)
            return (group if group.bytes else None), self._stopping

    def _commit(self, group: Group) -> None:
        began = time.monotonic()
        try:
            with self._io:
                self._write(group)
        except Exception as error:  # whatever happens, those who wait must hear of it
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            group.error = StorageError(f"{self.path(self.number)}: cannot write: {reason}")
            self._metrics.failures.labels("wal_write").inc()
            self._tell(str(group.error))
            for samples in group.samples:
                self._withdraw(samples)
        else:
            self._tell("")
            if not self._unsynced:
                self._unsynced_since = time.monotonic()
            self._unsynced.append(group)
        self._metrics.commit_seconds.observe(time.monotonic() - began)

    def _tell(self, trouble: str) -> None:
        """Say once that samples are not durable, and once that they are again."""
        if trouble and not self._trouble:
            log.warning("samples cannot be made durable: %s", trouble)
        elif self._trouble and not trouble:
            log.info("samples are made durable again")
        self._trouble = trouble

    def _write(self, group: Group) -> None:
        if self._fd < 0 or self.segments[self.number].bytes >= self._settings.segment_bytes:
            if self._fd >= 0:
                self._sync()
            self._open_next()
        info = self.segments[self.number]
        data, refs = self._encode(group)
        reach("wal.before_write")
        try:
            write_all(self._fd, data)
        except OSError:
            try:
                os.ftruncate(self._fd, info.bytes)
                os.lseek(self._fd, info.bytes, os.SEEK_SET)
            except OSError:
                self._close()
            raise
        reach("wal.written")
        info.bytes += len(data)
        self._metrics.wal_bytes.inc(len(data))
        self._series_defined[refs] = True
        self._layouts_defined.update(group.layouts)
        self._all_metadata.update(group.metadata)
        if group.scrapes:
            info.max_ts_ms = max(info.max_ts_ms, *(s.ts_ms for s in group.scrapes))
        info.late = info.late or bool(group.samples)
        info.exemplars = info.exemplars or bool(group.exemplars)

    def _encode(self, group: Group) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Return the group's bytes and the refs it defines."""
        parts = []
        fresh = [lay for lay in group.layouts.values() if lay.id not in self._layouts_defined]
        used = [lay.refs for lay in fresh] + [np.unique(s.refs) for s in group.samples]
        used += [refs for refs, _ in group.exemplars]
        refs = np.empty(0, dtype=np.int64)
        if used:
            if self._index.size > len(self._series_defined):
                grown = np.zeros(self._index.size * 2, dtype=np.bool_)
                grown[: len(self._series_defined)] = self._series_defined
                self._series_defined = grown
            refs = np.unique(np.concatenate(used))
            refs = refs[~self._series_defined[refs]]
            if len(refs):
                parts.append(records.series_record(refs, self._index.table(refs)))
        parts.extend(records.layout_record(lay.id, lay.refs) for lay in fresh)
        if group.scrapes:
            parts.append(records.scrapes_record(group.scrapes))
        if group.samples:
            parts.append(records.samples_record(concat(group.samples)))
        if group.exemplars:
            found = group.every_exemplar()
            parts.append(records.exemplars_record(*found, whole=group.all_exemplars))
        if group.metadata:
            parts.append(records.metadata_record(group.metadata))
        return b"".join(parts), refs

    def _open_next(self) -> None:
        path = self.path(self.number + 1)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        head = records.SEGMENT_HEAD
        if self._all_metadata:
            head += records.metadata_record(self._all_metadata)
        try:
            write_all(fd, head)
            fsync_directory(self._directory)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        reach("wal.segment_made")
        self._close()
        self._fd = fd
        self.number += 1
        self.segments[self.number] = SegmentInfo(bytes=len(head))
        self._series_defined = np.zeros(0, dtype=np.bool_)
        self._layouts_defined = set()

    def _sync(self) -> None:
        """Fsync; after a failure the descriptor is not trusted any more: its unsynced groups are written again."""
        with self._io:
            if self._fd < 0:
                return
            self._sync_wanted = False
            reach("wal.before_sync")
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                log.warning("%s: fsync failed: %s", self.path(self.number), error.strerror)
                self._metrics.failures.labels("wal_fsync").inc()
                again, self._unsynced = self._unsynced, []
                with contextlib.suppress(OSError):
                    self._open_next()
                    for group in again:
                        self._write(group)
                    self._unsynced = again
                    self._unsynced_since = time.monotonic()
            else:
                reach("wal.synced")
                self._unsynced = []

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
