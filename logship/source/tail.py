"""A log and its rotated files, read in order, each to its end."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from logship.parse.batch import Origin
from logship.parse.lines import Lines, Unwrap
from logship.parse.parser import Parsed
from logship.source import long_record
from logship.source.chunk import Chunk, Stream
from logship.source.files import ANCHOR_BYTES, READ_BYTES, LogFile
from logship.source.known import KnownFiles
from logship.source.rotation import QUIET_SECONDS, FileSet
from model.task import Task

WINDOW_MAX: Final = 8 << 20  # a record of 1 MiB can be six times as long inside a json-file wrapper


class Parses(Protocol):
    """Turns bytes into batches; see ``Parser``."""

    unwrap: Unwrap | None

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
        follow: bool = False,
    ) -> None:
        self.key = key
        self.task = task
        self.problem = ""
        self.gone = False  # the task is no longer known, or has ended
        self.denied = False  # the file may not be read
        self._base = base
        self._follow = follow
        self._parser = parser
        self._sinks = tuple(sinks)
        self._origin = origin
        self._known = known
        self._set = FileSet(key, base, known, sinks, follow=follow)
        self._windows: dict[str, int] = {}
        self._long: dict[str, long_record.Scan] = {}

    # ------------------------------------------------------------ which files

    def refresh(self, now: float, now_ns: int) -> bool:
        """See ``Stream.refresh``."""
        if not self.gone and self._set.unchanged():
            return False
        try:
            self._set.refresh(now, now_ns, gone=self.gone)
            self.problem = ""
            self.denied = False
        except OSError as error:
            self.denied = isinstance(error, PermissionError)
            self.problem = f"{self._base}: {error.strerror or error}"
        return any(self._position(file, sink) < file.size for file in self._set.files for sink in self._sinks)  # fmt: skip

    def losses(self) -> tuple[int, int]:
        """See ``Stream.losses``."""
        told = self._set.truncations, self._set.abandoned
        self._set.truncations = self._set.abandoned = 0
        return told

    def settled(self, now: float) -> bool:
        """See ``Stream.settled``."""
        return bool(self.problem) or self._set.settled(now)

    @property
    def watched(self) -> tuple[Path, Path | None]:
        """See ``Stream.watched``."""
        there = any(file.live for file in self._set.files)
        return (self._base if there else self._base.parent), (self._base.parent if self._follow else None)  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether the task is gone and every byte is delivered."""
        return self.gone and self._set.finished

    # ------------------------------------------------------------ reading

    def read(self, sink: str, now: float, read_ns: int) -> Chunk | None:
        """See ``Stream.read``."""
        for file in self._set.files:
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
        if not file.intact():
            self._set.truncated(file, now)
            return None
        at_end = position + len(data) >= file.size
        quiet = now - file.grown_at >= QUIET_SECONDS
        ended = quiet and (self.gone or not file.live)
        closing, final = at_end and quiet, at_end and ended
        whole = data if final else data[: data.rfind(b"\n") + 1]
        origin = self._origin(self.task, file.source_id)
        parsed = self._parser.parse(whole, position, origin, read_ns, closing=closing, final=final)
        if parsed.end > position:
            self._windows.pop(file.source_id, None)
            self._remember(file, parsed.end, data[: parsed.end - position])
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
            scan = long_record.Scan(position, self._parser.unwrap)
            self._long = {file.source_id: scan}
        if not scan.advance(file, final=ended):
            return None
        del self._long[file.source_id]
        self._windows.pop(file.source_id, None)
        lines = scan.lines()
        self._remember(file, lines.starts[-1], file.read(max(position, lines.starts[-1] - ANCHOR_BYTES), min(ANCHOR_BYTES, lines.starts[-1] - position)))  # fmt: skip
        parsed = self._parser.lines(lines, origin, read_ns, closing=True, final=True)
        return Chunk(file, self.task, position, lines.starts[-1], parsed.batches, READ_BYTES, parsed.tally)  # fmt: skip

    def _remember(self, file: LogFile, end: int, data: bytes) -> None:
        young = not file.anchors or len(file.anchors[-1][1]) < ANCHOR_BYTES
        file.remember(end, data)
        self._known.touch(file.source_id, young=young)

    def fits(self, sink: str, chunk: Chunk) -> bool:
        """See ``Stream.fits``."""
        for file in self._set.files:
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
        return sum(max(0, file.size - file.delivered(self._sinks)) for file in self._set.files)

    def lag_seconds(self, now: float) -> float:
        """See ``Stream.lag_seconds``."""
        return max((file.behind_seconds(self._sinks, now) for file in self._set.files), default=0.0)

    def close(self) -> None:
        """See ``Stream.close``."""
        self._set.close()


if TYPE_CHECKING:
    _: type[Stream] = Tail
