"""Which files a stream has: the live one and those it was rotated to, however that was done.

Renamed files are known by their inode. One that was truncated in place goes on as another source;
what was not read of it is looked for in a copy (``logrotate``'s copytruncate) or in a ``.gz``, which
then goes on where the file had got to. Deleted and replaced files are read to their end through the
descriptor that is kept.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from logship.source.files import ANCHOR_BYTES, LogFile, make_source_id
from logship.source.gzipped import SUFFIX, GzipFile, open_log
from logship.source.known import KnownFiles
from logship.source.names import rotated
from storage.failpoint import reach

QUIET_SECONDS: Final = 1.0  # an open trace is complete after this; more than multiline.GAP_NS
COPY_SECONDS: Final = 10.0  # after a truncation, for a copy to turn up
HISTORY_SECONDS: Final = 86_400  # an older .gz that nobody knows was forgotten, not missed
ARCHIVE_SECONDS: Final = 300  # a .gz as young may have been made before anybody could look
LINGER_SECONDS: Final = 60.0  # a writer may go on with a file that was renamed


class FileSet:
    """The files of one stream, oldest first.

    Attributes:
        files: Those there is something to know of.
        truncations: Met since somebody last set it to 0.
        abandoned: Bytes that were seen and are lost, since somebody last set it to 0.
    """

    def __init__(self, key: str, base: Path, known: KnownFiles, sinks: Sequence[str], *, follow: bool) -> None:  # fmt: skip
        self.files: list[LogFile] = []
        self.truncations = 0
        self.abandoned = 0
        self._key = key
        self._base = base
        self._base_text = str(base)
        self._known = known
        self._sinks = tuple(sinks)
        self._follow = follow
        self._lost: list[LogFile] = []
        self._passed: set[tuple[int, int, int]] = set()  # files that are none of ours
        self._rescan = 2
        self._scanned = False
        self._since_s: int | None = None

    # ------------------------------------------------------------ looking

    def unchanged(self) -> bool:
        """Tell at the price of one system call that there is nothing new, as mostly there is not."""
        if len(self.files) > 1 or self._rescan or self._lost:
            return False
        if not self.files:
            return not os.path.exists(self._base_text)  # noqa: PTH110  # as below
        (file,) = self.files
        if not file.live or file.descriptor < 0 or file.delivered(self._sinks) < file.size:
            return False
        try:
            status = os.stat(self._base_text, follow_symlinks=self._follow)  # noqa: PTH116  # a Path costs twice this
        except OSError:
            return False
        return (status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns) == (file.inode, file.device, file.size, file.mtime_ns)  # fmt: skip

    def refresh(self, now: float, now_ns: int, *, gone: bool) -> None:
        """Look for growth and rotation.

        Raises:
            OSError: If the live file may not be read, or is none.
        """
        problem: OSError | None = None
        try:
            self._look_for_live(now, now_ns)
        except OSError as error:
            problem = error
        for file in list(self.files):
            if file.look(now):
                self.truncated(file, now)
        self._identify_all(now, gone=gone)
        self._drop_finished(now, now_ns, gone=gone)
        if problem is not None and not isinstance(problem, FileNotFoundError):
            raise problem

    def _look_for_live(self, now: float, now_ns: int) -> None:
        live = self.files[-1] if self.files and self.files[-1].live else None
        try:
            status = self._base.stat(follow_symlinks=self._follow)
        except FileNotFoundError:
            if live is not None:
                live.live = False
                live.grown_at = max(live.grown_at, now - QUIET_SECONDS / 2)
                self._rescan = 2
            status = None
        if status and live and (status.st_dev, status.st_ino) == (live.device, live.inode):
            if live.descriptor < 0 and (status.st_size, status.st_mtime_ns) != (live.size, live.mtime_ns):  # fmt: skip
                self._rescan = max(self._rescan, 1)
        elif status:
            self._rescan = 2
            if live is not None:
                reach("rotation.seen")
        if self._rescan:
            self._rescan -= 1
            self._scan(now, now_ns)

    def truncated(self, file: LogFile, now: float) -> None:
        """Go on with the same inode as another source; a copy may have what was not read.

        A read asks once more whether that has happened, see ``LogFile.intact``.
        """
        replacement = LogFile(file.path, file.descriptor, file.device, file.inode, live=file.live, grown_at=now, generation=file.generation + 1)  # fmt: skip
        self.files[self.files.index(file)] = replacement
        file.descriptor = -1
        file.lost_at = now
        self._lost.append(file)
        self.truncations += 1
        self._rescan = 2
        reach("rotation.truncated")

    # ------------------------------------------------------------ scanning

    def _scan(self, now: float, now_ns: int) -> None:
        """Bring the list of files up to date with the directory."""
        if self._since_s is None:
            entries = self._known.remembers(self._key)
            seen = [e.seen_s - (HISTORY_SECONDS if e.mark else 0) for e in entries]
            self._since_s = max(seen, default=now_ns // 1_000_000_000)
        by_inode = {(f.device, f.inode): f for f in self.files}
        wanted = {e.inode for e in self._known.remembers(self._key) if not e.ended and e.inode}
        order: list[LogFile] = []
        problem: OSError | None = None
        for path in (*rotated(self._base, wanted), self._base):
            is_live = path == self._base
            try:
                file = self._at(path, by_inode, now, now_ns, live=is_live)
            except FileNotFoundError:
                continue
            except OSError as error:
                problem = error if is_live else problem
                continue
            if file is None:
                continue
            if file in order:  # renamed while we looked
                order.remove(file)
            file.path = path
            file.live = is_live
            order.append(file)
        self._scanned = True
        left = []
        for file in self.files:
            if file in order:
                continue
            file.live = False
            if file.descriptor >= 0:
                left.append(file)
            else:
                self._known.forget(file.source_id, now_ns // 1_000_000_000)
        self.files = left + order
        if len(order) > 1:
            reach("rotation.scanned")
        if problem is not None:
            raise problem

    def _at(self, path: Path, by_inode: dict[tuple[int, int], LogFile], now: float, now_ns: int, *, live: bool) -> LogFile | None:  # fmt: skip
        """Return the file that is at a place: one that is known, or a new one; None for what is none of ours.

        Raises:
            OSError: If it is no file that can be read.
        """
        status = path.stat(follow_symlinks=self._follow and live)
        known = by_inode.get((status.st_dev, status.st_ino))
        unchanged = known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns)  # fmt: skip
        if known is not None and (known.descriptor >= 0 or unchanged or isinstance(known, GzipFile)):  # fmt: skip
            return known
        if not live:
            if (status.st_dev, status.st_ino, status.st_mtime_ns) in self._passed:
                return None
            if path.name.endswith(SUFFIX) and path.with_suffix("").exists():
                return None  # it is being compressed
        file = open_log(path, follow=self._follow and live)
        file.first_look(now, now_ns)
        if known is not None and (file.device, file.inode) == (known.device, known.inode):
            known.descriptor = file.descriptor
            if file.size >= known.size and known.intact():
                return known
            known.descriptor = -1
            self._known.forget(known.source_id, now_ns // 1_000_000_000)
            self.files.remove(known)
        return file

    # ------------------------------------------------------------ whose is it

    def _identify_all(self, now: float, *, gone: bool) -> None:
        """Give new files their source id and the positions of a former life; what has the inode comes first."""
        new = [file for file in self.files if not file.source_id]
        for file in new:
            if isinstance(file, GzipFile) and not file.measured:
                continue
            quiet = now - file.grown_at >= QUIET_SECONDS
            file.fingerprint = file.first_line(final=quiet and (not file.live or gone))
            if file.fingerprint:
                self._known.claim(self._key, file)
        for file in new:
            if file.fingerprint and not file.source_id:
                self._introduce(file, now)

    def _introduce(self, file: LogFile, now: float) -> None:
        if not file.live:
            if self._adopt(file) or self._known.claim_copy(self._key, file) or self._is_copy(file, now):  # fmt: skip
                return
            if (
                isinstance(file, GzipFile)
                and file.mtime_ns // 1_000_000_000 < (self._since_s or 0) - ARCHIVE_SECONDS
            ):
                self._pass(file)
                self._passed.add((file.device, file.inode, file.mtime_ns))
                return
        before = [e for e in self._known.remembers(self._key) if not e.ended and e.inode == file.inode]  # fmt: skip
        if before and not file.generation:  # while nobody looked
            self.truncations += 1
        file.remember_all()
        self._known.introduce(self._key, file, make_source_id)
        reach("rotation.introduced")

    def _pass(self, file: LogFile) -> None:
        self.files.remove(file)
        file.close()

    def _adopt(self, file: LogFile) -> bool:
        """Let a copy go on where a file had got to that was truncated; tell whether it is one."""
        for lost in self._lost:
            if lost.fingerprint != file.fingerprint or not file.has(lost.anchors):
                continue
            self._lost.remove(lost)
            file.source_id, file.generation, file.counted = lost.source_id, lost.generation, lost.counted  # fmt: skip
            # what is on its way to a sink still acknowledges to the old one
            file.positions, file.acked = lost.positions, lost.acked
            file.anchors = [anchor for anchor in lost.anchors if anchor[0] <= file.size]
            self._known.replace(file.source_id, file)
            reach("rotation.copy_adopted")
            return True
        return False

    def _is_copy(self, file: LogFile, now: float) -> bool:
        """Deal with a file that may be a copy of one that is there; tell whether it is, or may turn out to be.

        As long as the other is whole, the copy is passed over: once it is truncated, the folder is
        looked at again. A copy is made before the other is truncated, and perhaps just now.
        """
        alike = [f for f in self.files if f is not file and f.source_id and f.fingerprint == file.fingerprint]  # fmt: skip
        for other in alike:
            if other.descriptor >= 0 and not other.intact():
                self.truncated(other, now)
                if self._adopt(file):
                    return True
                continue
            seen = other.anchors[-1][0] if other.anchors else 0
            whole = other.size == file.size and file.has(other.anchors)
            if (file.begins(other) if other.descriptor >= 0 else whole) and file.size >= min(
                ANCHOR_BYTES, seen
            ):  # else both may begin with it
                self._pass(file)
                return True
        if now - file.grown_at >= QUIET_SECONDS:
            return False
        before = {lost.fingerprint for lost in self._lost}
        before |= {entry.fingerprint for entry in self._known.remembers(self._key)}
        if alike or file.fingerprint in before:
            file.fingerprint = ""  # asked again when it has stopped growing
            return True
        return False

    # ------------------------------------------------------------ letting go

    def _drop_finished(self, now: float, now_ns: int, *, gone: bool) -> None:
        for lost in [lost for lost in self._lost if now - lost.lost_at > COPY_SECONDS]:
            self._lost.remove(lost)
            self.abandoned += lost.unread(self._sinks)
            self._known.forget(lost.source_id, now_ns // 1_000_000_000)
        for file in list(self.files):
            if file.descriptor < 0:
                if not file.live and not file.path.exists():
                    self._remove(file, now_ns)
                continue
            quiet = now - file.grown_at
            if (file.live and not gone) or quiet < 2 * QUIET_SECONDS or not self.delivered(file):
                continue
            if os.fstat(file.descriptor).st_nlink == 0:
                self._remove(file, now_ns)
            elif gone:
                file.close()
            elif quiet > LINGER_SECONDS:
                file.close()
                if not file.path.exists() or file.path == self._base:  # a name we cannot know
                    self._remove(file, now_ns)

    def _remove(self, file: LogFile, now_ns: int) -> None:
        file.close()
        self.files.remove(file)
        self._known.forget(file.source_id, now_ns // 1_000_000_000)
        reach("rotation.removed")

    def delivered(self, file: LogFile) -> bool:
        """Tell whether every sink has everything of a file."""
        if not file.source_id:
            return file.size == 0
        return file.delivered(self._sinks) >= file.size

    @property
    def finished(self) -> bool:
        """Whether every file was read to its end and let go."""
        return not self._lost and all(file.descriptor < 0 for file in self.files)

    def settled(self, now: float) -> bool:
        """Tell whether only a change from outside can bring more."""
        return (
            not self._rescan
            and not self._lost
            and all(
                self.delivered(f)
                and now - f.grown_at > 3 * QUIET_SECONDS
                and (f.live or f.descriptor < 0 or now - f.grown_at < LINGER_SECONDS)
                for f in self.files
            )
        )

    def close(self) -> None:
        """Let go of descriptors; safe twice."""
        for file in self.files:
            file.close()
