"""A log and its rotated files, read in order, each to its end.

A file is a stream's *live* file while it has the stream's own name. Renaming, deleting and
truncating are told apart by inode, size and first line. Descriptors of rotated files stay open
until the files are gone from the directory, so an inode cannot come back as another file unseen.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from logship.parse.batch import Origin
from logship.parse.lines import Lines
from logship.parse.parser import Parsed
from logship.source import long_record
from logship.source.chunk import Chunk, Stream
from logship.source.files import READ_BYTES, LogFile, make_source_id, rotated
from logship.source.known import KnownFiles
from model.task import Task
from storage.failpoint import reach

QUIET_SECONDS: Final = 1.0  # an open trace is complete after this; more than multiline.GAP_NS
WINDOW_MAX: Final = 8 << 20  # a record of 1 MiB can be six times as long inside a json-file wrapper
RECHECK_SECONDS: Final = 2.0


class Parses(Protocol):
    """Turns bytes into batches; see ``Parser``."""

    def parse(self, data: bytes, start: int, origin: Origin, read_ns: int, *, closing: bool, final: bool = False) -> Parsed:  # fmt: skip
        """See ``Parser.parse``."""
        ...

    def lines(self, lines: Lines, origin: Origin, read_ns: int, *, closing: bool, final: bool = False) -> Parsed:  # fmt: skip
        """See ``Parser.lines``."""
        ...


class Tail:
    """One stream of a task; see ``Stream``."""

    def __init__(
        self,
        key: str,
        task: Task,
        base: Path,
        parser: Parses,
        known: KnownFiles,
        sinks: Sequence[str],
        origin: Callable[[Task, str], Origin],
        *,
        wrapped: bool,
    ) -> None:
        self.key = key
        self.task = task
        self.problem = ""
        self.gone = False  # the task is no longer known, or has ended
        self.denied = False  # the file may not be read
        self.truncations = 0  # see ``Stream``
        self._base = base
        self._base_text = str(base)
        self._parser = parser
        self._known = known
        self._sinks = tuple(sinks)
        self._origin = origin
        self._wrapped = wrapped
        self._files: list[LogFile] = []  # oldest first
        self._rescan = 2
        self._checked_at = 0.0
        self._windows: dict[str, int] = {}
        self._long: dict[str, long_record.Scan] = {}

    # ------------------------------------------------------------ which files

    def refresh(self, now: float, now_ns: int) -> bool:
        """See ``Stream.refresh``."""
        if self._unchanged():
            return False
        try:
            self._refresh(now, now_ns)
            self.problem = ""
        except FileNotFoundError:
            self.problem = ""
        except OSError as error:
            self.denied = isinstance(error, PermissionError)
            self.problem = f"{self._base}: {error.strerror or error}"
        for file in self._files:
            file.look(now)
            if not file.source_id:
                self._identify(file)
        self._drop_finished(now)
        return any(self._position(file, sink) < file.size for file in self._files for sink in self._sinks)  # fmt: skip

    def _unchanged(self) -> bool:
        """Tell at the price of one system call that there is nothing new, as mostly there is not."""
        if len(self._files) != 1 or self._rescan or self.gone:
            return False
        (file,) = self._files
        if not file.live or file.descriptor < 0 or file.delivered(self._sinks) < file.size:
            return False
        try:
            status = os.stat(self._base_text, follow_symlinks=False)  # noqa: PTH116  # a Path costs twice this
        except OSError:
            return False
        return (status.st_ino, status.st_dev, status.st_size) == (file.inode, file.device, file.size)  # fmt: skip

    def _refresh(self, now: float, now_ns: int) -> None:
        live = self._files[-1] if self._files and self._files[-1].live else None
        try:
            status = self._base.stat(follow_symlinks=False)
        except FileNotFoundError:
            if live is not None:
                live.live = False
                live.grown_at = max(live.grown_at, now - QUIET_SECONDS / 2)
                self._rescan = 2
            status = None
        if status and live and (status.st_dev, status.st_ino) == (live.device, live.inode):
            if live.descriptor < 0:
                if status.st_size == live.size:
                    return
                self._reopen(live)
            self._check_content(live, now)
        elif status:
            self._rescan = 2
            if live is not None:
                reach("rotation.seen")
        if self._rescan:
            self._rescan -= 1
            self._scan(now, now_ns)

    def _scan(self, now: float, now_ns: int) -> None:
        """Bring the list of files up to date with the directory."""
        by_inode = {(f.device, f.inode): f for f in self._files}
        order: list[LogFile] = []
        for path in (*rotated(self._base), self._base):
            is_live = path == self._base
            try:
                file = LogFile.open(path)
            except FileNotFoundError:
                continue
            known = by_inode.get((file.device, file.inode))
            if known is not None and known.descriptor >= 0:
                file.close()
                file = known
            elif known is not None:
                known.descriptor = file.descriptor
                file = known
            else:
                file.first_look(now, now_ns)
            if file in order:  # renamed while we looked
                order.remove(file)
            file.path = path
            file.live = is_live
            order.append(file)
        left = [f for f in self._files if f not in order]
        for file in left:
            file.live = False
        self._files = left + order
        if len(order) > 1:
            reach("rotation.scanned")

    def _reopen(self, file: LogFile) -> None:
        fresh = LogFile.open(self._base)
        if (fresh.device, fresh.inode) != (file.device, file.inode):
            fresh.close()
            self._rescan = 2
            return
        file.descriptor = fresh.descriptor

    def _check_content(self, file: LogFile, now: float) -> None:
        """Find out whether the file was truncated in place, by size or by another first line."""
        if not file.source_id:
            return
        file.look(now)
        furthest = max(file.positions.values(), default=0)
        changed = file.size < furthest
        if not changed and now - self._checked_at > RECHECK_SECONDS and file.grown_at > self._checked_at:  # fmt: skip
            self._checked_at = now
            changed = file.first_line(final=False) not in ("", file.fingerprint)
        if changed:
            self.truncations += 1
            self._forget_positions(file)
            reach("rotation.truncated")

    def _forget_positions(self, file: LogFile) -> None:
        """Go on with the same inode as another source."""
        replacement = LogFile(file.path, file.descriptor, file.device, file.inode, size=file.size, grown_at=file.grown_at)  # fmt: skip
        replacement.generation = file.generation + 1
        self._files[self._files.index(file)] = replacement

    def _identify(self, file: LogFile) -> None:
        """Give a file its source id and the positions of a former life."""
        final = not file.live or self.gone
        fingerprint = file.first_line(final=final)
        if fingerprint:
            file.fingerprint = fingerprint
            self._known.identify(self.key, file, make_source_id)
            reach("rotation.identified")

    def _drop_finished(self, now: float) -> None:
        for file in list(self._files):
            if file.descriptor < 0:
                if not file.live and not file.path.exists():
                    self._remove(file)
                continue
            if file.live and not self.gone:
                continue
            if now - file.grown_at < 2 * QUIET_SECONDS or not self._delivered(file):
                continue
            if os.fstat(file.descriptor).st_nlink == 0:
                self._remove(file)
            elif self.gone:
                file.close()

    def _remove(self, file: LogFile) -> None:
        file.close()
        self._files.remove(file)
        self._known.forget(file.source_id)
        reach("rotation.removed")

    def _delivered(self, file: LogFile) -> bool:
        if not file.source_id:
            return file.size == 0
        return file.delivered(self._sinks) >= file.size

    @property
    def finished(self) -> bool:
        """Whether the task is gone and every byte is delivered."""
        return self.gone and all(file.descriptor < 0 for file in self._files)

    # ------------------------------------------------------------ reading

    def read(self, sink: str, now: float, read_ns: int) -> Chunk | None:
        """See ``Stream.read``."""
        for file in self._files:
            position = self._position(file, sink)
            if not file.source_id:
                if file.size == 0:
                    continue
                return None
            if position < file.size:
                return self._read(file, position, now, read_ns)
        return None

    def _position(self, file: LogFile, sink: str) -> int:
        return file.positions.get(sink, 0)

    def _read(self, file: LogFile, position: int, now: float, read_ns: int) -> Chunk | None:
        window = self._windows.get(file.source_id, READ_BYTES)
        data = file.read(position, min(window, max(0, file.size - position)))
        at_end = position + len(data) >= file.size
        quiet = now - file.grown_at >= QUIET_SECONDS
        ended = quiet and (self.gone or not file.live)
        closing, final = at_end and quiet, at_end and ended
        whole = data if final else data[: data.rfind(b"\n") + 1]
        origin = self._origin(self.task, file.source_id)
        parsed = self._parser.parse(whole, position, origin, read_ns, closing=closing, final=final)
        if parsed.end > position:
            self._windows.pop(file.source_id, None)
            return Chunk(file, self.task, position, parsed.end, parsed.batches, parsed.end - position, parsed.tally, more=not at_end or not file.live)  # fmt: skip
        if len(data) < window:
            return None
        if window < WINDOW_MAX:
            self._windows[file.source_id] = min(window * 2, WINDOW_MAX)
            return self._read(file, position, now, read_ns)
        return self._read_long(file, position, origin, read_ns, ended=ended)

    def _read_long(self, file: LogFile, position: int, origin: Origin, read_ns: int, *, ended: bool) -> Chunk | None:  # fmt: skip
        """Cut a record that is longer than any window; its rest is passed over, not kept."""
        scan = self._long.get(file.source_id)
        if scan is None or scan.start != position:
            scan = long_record.Scan(position, wrapped=self._wrapped)
            self._long = {file.source_id: scan}
        if not scan.advance(file, final=ended):
            return None
        del self._long[file.source_id]
        self._windows.pop(file.source_id, None)
        lines = scan.lines()
        parsed = self._parser.lines(lines, origin, read_ns, closing=True, final=True)
        return Chunk(file, self.task, position, lines.starts[-1], parsed.batches, READ_BYTES, parsed.tally)  # fmt: skip

    def fits(self, sink: str, chunk: Chunk) -> bool:
        """See ``Stream.fits``."""
        for file in self._files:
            if file is chunk.source:
                return self._position(file, sink) == chunk.start
            if self._position(file, sink) < file.size:
                return False
        return False

    def advance(self, sink: str, chunk: Chunk) -> None:
        """See ``Stream.advance``."""
        assert isinstance(chunk.source, LogFile)
        chunk.source.positions[sink] = chunk.end

    def lag_bytes(self) -> int:
        """See ``Stream.lag_bytes``."""
        return sum(max(0, file.size - file.delivered(self._sinks)) for file in self._files)

    def lag_seconds(self, now: float) -> float:
        """See ``Stream.lag_seconds``."""
        return max((file.behind_seconds(self._sinks, now) for file in self._files), default=0.0)

    def close(self) -> None:
        """See ``Stream.close``."""
        for file in self._files:
            file.close()


if TYPE_CHECKING:
    _: type[Stream] = Tail
