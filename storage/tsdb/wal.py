"""The write-ahead log: one thread writes what has gathered for 100 ms as one group, and fsyncs every second.

A group is a few records in one write: definitions that the segment lacks, scrapes, samples,
metadata. A group that cannot be written (disk full) is given up with an error on its ticket and
cut off the segment, so that the next one stands on clean ground.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from model.errors import StorageError
from model.samples import Exemplar
from storage.failpoint import reach
from storage.interface import Metadata, Refs
from storage.tsdb import records
from storage.tsdb.exemplars import Tokens
from storage.tsdb.files import fsync_directory, write_all
from storage.tsdb.head import Head, Layout, Taken
from storage.tsdb.metrics import TsdbMetrics
from storage.tsdb.samples import Samples
from storage.tsdb.settings import TsdbSettings
from storage.tsdb.walgroup import Group
from storage.tsdb.walsegment import Definitions, SegmentInfo, remove_unnamed, write_segment

log = logging.getLogger(__name__)


class Wal:
    """See the module.

    Args:
        directory: Where the segments are; it exists.
        head: Knows the labels of refs; what could not be written is taken out of its lane and exemplars.
        settings: Sizes and times.
        metrics: What is counted.
    """

    def __init__(
        self,
        directory: Path,
        head: Head,
        settings: TsdbSettings,
        metrics: TsdbMetrics,
    ) -> None:
        self._directory = directory
        self._head = head
        self._settings = settings
        self._metrics = metrics
        self._wake = threading.Condition()
        self._group = Group(self)
        self._urgent = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._io = threading.RLock()  # whoever touches the open segment
        self._fd = -1
        self._trouble = ""
        self._unsynced: list[Group] = []
        self._unsynced_since = 0.0
        self._distrusted = False  # an fsync failed: what is unsynced must be written again
        self._definitions = Definitions(head.index)
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
            remove_unnamed(self._directory)
            self._begin()
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

    def scrape(self, layout: Layout, ts_ms: int, taken: Taken) -> Group:
        """Log one scrape, and the chunks that were made for it."""
        with self._wake:
            group = self._group
            return self._grown(group, group.add_scrape(layout, ts_ms, taken))

    def samples(self, samples: Samples) -> Group:
        """Log samples with their own timestamps."""
        with self._wake:
            group = self._group
            group.samples.append(samples)
            return self._grown(group, samples.nbytes)

    def exemplars(self, refs: Refs, exemplars: list[Exemplar], tokens: Tokens) -> Group:
        """Log exemplars, one for each ref; ``tokens`` are what the head's ring calls them."""
        with self._wake:
            group = self._group
            group.exemplars.append((refs, exemplars))
            group.tokens.append(tokens)
            return self._grown(group, 64 * len(refs))

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
            group.sync = self._urgent = True
            if group.begun == 0.0:
                group.begun = time.monotonic()
            self._wake.notify_all()
        done = group.wait(timeout_seconds)
        if done and group.sync_error is not None:
            raise group.sync_error
        return done

    def rotate(self) -> int:
        """Begin a new segment and return its number; what is taken from now on is in it or later ones.

        The caller sees to it that nothing is taken meanwhile and that ``flush`` came before. All
        that was taken before is durable in earlier ones: were it written again later, it would come
        behind a deletion, or under numbers that stand for other series then.

        Raises:
            OSError: If what was taken cannot be made durable, or the segment cannot be made.
        """
        with self._io:
            self._sync()
            if self._fd < 0 or not self.segments[self.number].empty:
                self._begin()
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

    def drop(self, done: Callable[[int, SegmentInfo], bool]) -> None:
        """Delete the closed segments of which ``done`` says that blocks have it all.

        One that holds scrapes from before the clock went back stays until their time has come; it
        does not keep those behind it.

        Exemplars are in no block: those that are still kept are written again first.

        Raises:
            StorageError: If they could not be written; nothing is deleted then.
            OSError: If the log cannot be made durable, or a file not be deleted.
        """
        closed = [(n, info) for n, info in sorted(self.segments.items()) if n != self.number]
        gone = [(n, info) for n, info in closed if done(n, info)]
        if any(info.exemplars for _, info in gone):
            with self._wake:
                group = self._group
                group.all_exemplars = True
                self._grown(group, 0)
            group.wait()
            self.flush()
        with self._io:
            self._sync()  # what stands behind them says what they said of metric families
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
            if self._unsynced and (due or stopping or (group is not None and group.sync)):
                self._sync_of(group)
            if group is not None:
                group.done.set()
            if stopping:
                return

    def _sync_of(self, group: Group | None) -> None:
        """Sync, and tell a group whose writer waits for that if it did not work."""
        try:
            self._sync()
        except Exception as error:  # the thread must live: others wait for it
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            failed = StorageError(f"{self._directory}: cannot be made durable: {reason}")
            self._tell(str(failed))
            if group is not None:
                group.sync_error = failed
        else:
            self._tell("")

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
        if group.all_exemplars:  # looked at here: what groups before this one had is settled
            group.exemplars.insert(0, self._head.exemplars.every())
        try:
            with self._io:
                self._write(group)
        except Exception as error:  # whatever happens, those who wait must hear of it
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            group.error = StorageError(f"{self.path(self.number)}: cannot write: {reason}")
            self._metrics.failures.labels("wal_write").inc()
            self._tell(str(group.error))
            for samples in group.samples:
                self._head.lane.withdraw(samples)
        else:
            self._tell("")
        for tokens in group.tokens:
            self._head.exemplars.settle(tokens, logged=group.error is None)
        self._metrics.commit_seconds.observe(time.monotonic() - began)

    def _tell(self, trouble: str) -> None:
        """Say once that samples are not durable, and once that they are again."""
        if trouble and not self._trouble:
            log.warning("samples cannot be made durable: %s", trouble)
        elif self._trouble and not trouble:
            log.info("samples are made durable again")
        self._trouble = trouble

    def _write(self, group: Group) -> None:
        try:
            self._put(group)
        except OSError as error:
            if not group.sealed or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            group.sealed = []  # there may be room for the rest, which holds the same
            self._put(group)
        group.sealed = []

    def _put(self, group: Group) -> None:
        if self._distrusted:
            self._sync()
        if self._fd >= 0 and self._full:
            self._sync()
        if self._fd < 0 or self._full:
            self._begin()
        info = self.segments[self.number]
        data, refs = self._definitions.encode(group)
        reach("wal.before_write")
        try:
            write_all(self._fd, data)
        except OSError:
            try:
                os.ftruncate(self._fd, info.bytes)
                os.lseek(self._fd, info.bytes, os.SEEK_SET)
            except OSError:
                self._distrusted = True
            raise
        reach("wal.written")
        self._definitions.add(group, refs)
        info.add(group, len(data))
        self._metrics.wal_bytes.inc(len(data))
        self._all_metadata.update(group.metadata)
        if not self._unsynced:
            self._unsynced_since = time.monotonic()
        self._unsynced.append(group)

    @property
    def _full(self) -> bool:
        return self.segments[self.number].bytes >= self._settings.segment_bytes

    def _begin(self, groups: Sequence[Group] = ()) -> None:
        """Begin the next segment, with groups that are written again."""
        path = self.path(self.number + 1)
        head = records.SEGMENT_HEAD
        if self._all_metadata:
            head += records.metadata_record(self._all_metadata)
        fd, info, definitions = write_segment(path, head, groups, self._head.index)
        reach("wal.segment_made")
        self._close()
        self._fd = fd
        self.number += 1
        self.segments[self.number] = info
        self._definitions = definitions

    def _sync(self) -> None:
        """Make durable what was written.

        After a failed fsync the kernel may have dropped the pages, and the next fsync of that file
        would succeed without them. So the file is not trusted any more: what it had not synced is
        written again, to a new segment. Until that is durable no group is taken.

        Raises:
            OSError: If that fails too; it is tried again before the next group and at the next fsync.
        """
        with self._io:
            reach("wal.before_sync")
            if self._fd >= 0 and not self._distrusted:
                try:
                    os.fdatasync(self._fd)
                except OSError as error:
                    log.warning("%s: fsync failed: %s", self.path(self.number), error.strerror)
                    self._metrics.failures.labels("wal_fsync").inc()
                    self._distrusted = True
            if self._distrusted:
                try:
                    self._begin(self._unsynced)
                except OSError:
                    self._metrics.failures.labels("wal_fsync").inc()
                    self._unsynced_since = time.monotonic()
                    raise
                self._distrusted = False
            reach("wal.synced")
            self._unsynced = []

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
