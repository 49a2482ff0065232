"""A spool as a stream that the lanes read, each at its own pace."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from prometheus_client import Counter

from logship.checkpoint import Entry
from logship.parse.batch import Tally
from logship.source.chunk import Chunk, Stream
from logship.source.known import KnownFiles
from logship.spool.entry import batches_of
from logship.spool.spool import Spool
from model.errors import reason_of
from model.log import LogBatch
from model.task import ContainerID, Task, TaskID, TaskIdentity, TaskState, TaskStatus

MARKS_MAX: Final = 100


class SpoolOrigin(Struct):
    """Positions in a spool; see ``chunk.Origin`` and ``LogFile``."""

    inode: int = 0
    device: int = 0
    fingerprint: str = ""
    generation: int = 0
    source_id: str = ""
    size: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
    counted: int = 0

    def holds(self, entry: Entry) -> bool:
        """See ``Identified.holds``: its birth tells it from every other; one that lost its end begins anew."""
        return max(entry.positions.values(), default=0) <= self.size

    def mark(self) -> tuple[int, str]:
        """See ``Identified.mark``."""
        return 0, ""


class SpoolStream:
    """See ``Stream``. Its records say themselves whose they are; delivered segments are deleted."""

    def __init__(self, spool: Spool, known: KnownFiles, sinks: Sequence[str], damaged: Counter) -> None:  # fmt: skip
        self.key = f"taskscope/{spool.name}"
        self.task = nobody()
        self.gone = False
        self.problem = ""
        self._spool = spool
        self._sinks = tuple(sinks)
        self._damaged = damaged
        self._origin = SpoolOrigin(fingerprint=spool.birth.hex(), size=spool.durable)
        known.identify(self.key, self._origin, lambda key, file: f"{key}:{file.fingerprint}:{file.generation}")  # fmt: skip
        self._marks: list[tuple[int, float]] = []

    def losses(self) -> tuple[int, int]:
        """See ``Stream.losses``; what is damaged is counted where it is read."""
        return 0, 0

    def settled(self, now: float) -> bool:
        """See ``Stream.settled``: asking it costs nothing."""
        return False

    @property
    def watched(self) -> tuple[Path, Path | None]:
        """See ``Stream.watched``."""
        return self._spool.directory, None

    def refresh(self, now: float, now_ns: int) -> bool:
        """See ``Stream.refresh``."""
        durable = self._spool.durable
        delivered = self._delivered()
        if durable > delivered and (not self._marks or now - self._marks[-1][1] >= 1.0):
            self._marks.append((durable, now))
            if len(self._marks) > MARKS_MAX:
                self._marks[1:] = self._marks[2::2]
        while self._marks and self._marks[0][0] <= delivered:
            self._marks.pop(0)
        if self._sinks:
            self._spool.release(delivered)
        self.problem = self._spool.problem
        return any(self._position(sink) < durable for sink in self._sinks)

    def _position(self, sink: str) -> int:
        return max(self._origin.positions.get(sink, 0), self._spool.start)

    def _delivered(self) -> int:
        return min((self._origin.acked.get(sink, 0) for sink in self._sinks), default=0)

    def read(self, sink: str, now: float, read_ns: int) -> Chunk | None:
        """See ``Stream.read``."""
        position = self._position(sink)
        if position >= self._spool.durable:
            return None
        try:
            found = self._spool.read(position)
        except OSError as error:
            self.problem = f"the log buffer cannot be read: {reason_of(error)}"
            return None
        batches: list[LogBatch] = []
        damaged = found.damaged
        for record in found.records:
            try:
                batches += batches_of(record.payload)
            except ValueError:
                damaged += 1
        if damaged and position >= self._origin.counted:
            self._damaged.inc(damaged)
        if found.end <= position:
            return None
        size = sum(len(batch.buf) + 64 * len(batch) for batch in batches)
        more = found.end < self._spool.durable
        return Chunk(self._origin, self.task, position, found.end, batches, size, Tally(), more=more)  # fmt: skip

    def fits(self, sink: str, chunk: Chunk) -> bool:
        """See ``Stream.fits``."""
        return chunk.source is self._origin and self._position(sink) == chunk.start

    def advance(self, sink: str, chunk: Chunk) -> None:
        """See ``Stream.advance``."""
        self._origin.positions[sink] = chunk.end

    def lag_bytes(self) -> int:
        """See ``Stream.lag_bytes``."""
        return max(0, self._spool.durable - max(self._delivered(), self._spool.start))

    def lag_seconds(self, now: float) -> float:
        """See ``Stream.lag_seconds``."""
        behind = self._marks and self._delivered() < self._spool.durable
        return max(0.0, now - self._marks[0][1]) if behind else 0.0

    @property
    def finished(self) -> bool:
        """See ``Stream.finished``: there may always come more."""
        return False

    def close(self) -> None:
        """See ``Stream.close``; who appends to the spool closes it."""


def nobody() -> Task:
    """Return the owner of a spool, whose records are all somebody else's."""
    identity = TaskIdentity("", "", "", "", "", "", TaskID(""), ContainerID(""))
    return Task(identity, TaskStatus(TaskState.RUNNING, 0))


if TYPE_CHECKING:
    _: type[Stream] = SpoolStream
