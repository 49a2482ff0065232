"""One read of one source: what passes from the reader to the lanes, and back as a position."""

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from logship.parse.batch import Tally
from model.log import LogBatch
from model.task import Task


class Origin(Protocol):
    """A place with a position per sink: a log file, or a container's stream through the API.

    ``acked`` is up to where each sink has everything, ``counted`` up to where records were counted.
    """

    source_id: str
    acked: dict[str, int]
    counted: int


class Chunk(Struct, frozen=True):
    """Records of one source between two positions.

    Attributes:
        source: Where they were read; its ``acked`` moves to ``end`` when a sink has all of them.
        task: Whose.
        start: First position.
        end: Position behind the last record.
        batches: The records; empty where there was nothing to ship (blank wrapper lines).
        size: Bytes read, for the bound of the buffer.
        tally: What parsing met.
        more: Whether there was more to read; if not, looking again at once would be in vain.
    """

    source: Origin
    task: Task
    start: int
    end: int
    batches: list[LogBatch]
    size: int
    tally: Tally
    more: bool = True


class Stream(Protocol):
    """Something the reader polls: one log with its rotated files, or an API stream."""

    key: str
    task: Task
    gone: bool
    problem: str

    def refresh(self, now: float, now_ns: int) -> bool:
        """Look for growth and rotation; return whether there may be something to read.

        ``now`` is monotonic seconds, ``now_ns`` nanoseconds since the epoch.
        """
        ...

    def losses(self) -> tuple[int, int]:
        """Return truncations, and bytes that were seen and are lost, since it was asked last."""
        ...

    def settled(self, now: float) -> bool:
        """Tell whether only a change of what is ``watched`` can bring more."""
        ...

    @property
    def watched(self) -> tuple[Path, Path | None]:
        """The file or folder that changes, and the folder of a link that may be put elsewhere."""
        ...

    def read(self, sink: str, now: float, read_ns: int) -> Chunk | None:
        """Return what follows a sink's position, or None if nothing is complete yet; moves nothing."""
        ...

    def fits(self, sink: str, chunk: Chunk) -> bool:
        """Tell whether a chunk read for another sink is what follows this one's position too."""
        ...

    def advance(self, sink: str, chunk: Chunk) -> None:
        """Move a sink's reading position behind a chunk."""
        ...

    def lag_bytes(self) -> int:
        """Return the bytes that not every sink has yet."""
        ...

    def lag_seconds(self, now: float) -> float:
        """Return for how long not every sink has everything; ``now`` is monotonic."""
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing will come any more and everything is delivered."""
        ...

    def close(self) -> None:
        """Let go of descriptors; safe twice."""
        ...
