"""Reads the store's write-ahead log as it grows, from a place that is remembered.

Segments define what they name (series, layouts), so that a segment is always read from its
beginning; samples before the place are passed over. What cannot be read any more because the
store has dropped the segment is in its blocks, and is not sent.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct, field

from model.labels import Labels
from model.samples import Exemplar, Floats
from storage.tsdb import records
from storage.tsdb.records import Damage, Kind
from storage.tsdb.samples import Samples

log: Final = logging.getLogger(__name__)

_HEAD: Final = len(records.SEGMENT_HEAD)
_RECORD_BYTES: Final = len(records.frame(Kind.METADATA, b""))
_PATIENCE: Final = 50
_READ_BYTES: Final = 4 << 20


class Position(NamedTuple):
    """A place in the log: the segment's number and how many of its bytes are done."""

    segment: int
    offset: int


class FollowedLayout(Struct, eq=False):
    """The series of one layout of one segment, in order; the same object each time."""

    labels: tuple[Labels, ...]


class Taken(Struct):
    """What was read at once.

    Attributes:
        position: The place behind it.
        bytes: How many bytes it was.
        scrapes: Layout, time and values.
        samples: Samples with their own times; ``refs`` lead into ``labels``.
        exemplars: Each with its series' ref.
        labels: Labels by ref.
    """

    position: Position
    bytes: int = 0
    scrapes: list[tuple[FollowedLayout, int, Floats]] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    exemplars: list[tuple[int, Exemplar]] = field(default_factory=list)
    labels: dict[int, Labels] = field(default_factory=dict)


class WalFollower:
    """See the module; for one thread.

    Args:
        directory: Where the segments are.
        position: Where to go on; None begins behind what is there now.
    """

    def __init__(self, directory: Path, position: Position | None) -> None:
        self._directory = directory
        self.lost_segments = 0
        self._labels: dict[int, Labels] = {}
        self._layouts: dict[int, FollowedLayout] = {}
        self._read_until = 0
        self._stuck = 0
        if position is None:
            last = max(self._segments(), default=0)
            size = self._path(last).stat().st_size if last else 0
            position = Position(last, size)
        self.position = position

    def read(self) -> Taken | None:
        """Return what is new, None if there is nothing.

        Raises:
            OSError: If a segment cannot be read.
            StorageError: If a segment is of an unknown version.
        """
        present = self._segments()
        segment, offset = self.position
        if segment not in present:
            later = [number for number in present if number > segment]
            if not later:
                return None
            self._go_to(min(later), skipped=segment > 0)
            segment, offset = self.position
        later = [number for number in present if number > segment]  # looked at before reading
        taken = Taken(Position(segment, offset), labels=self._labels)
        path = self._path(segment)
        size = path.stat().st_size
        if size < offset:
            offset = self._resume(path, offset)  # a group that could not be written was cut off
        if self._read_until == 0 and size >= _HEAD:
            self._define(path, offset)
        advanced = self._advance(path, max(offset, _HEAD if size >= _HEAD else 0), taken)
        if advanced:
            self.position, self._stuck = taken.position, 0
            taken.bytes = max(taken.position.offset - offset, 0)
            return taken
        if later:
            if size > self._read_until:
                log.info("%s: the last %d bytes are no whole record", path, size - self._read_until)
            self._go_to(min(later), skipped=False)
            return self.read()
        if size > self._read_until:
            self._stuck += 1
            if (
                self._stuck % _PATIENCE == 0
            ):  # nobody writes for that long: we stand within a record
                self.position = Position(segment, self._resume(path, offset))
        return None

    def unread_bytes(self) -> int:
        """Return how much of the log is behind the place."""
        segment, offset = self.position
        later = [number for number in self._segments() if number >= segment]
        sizes = [self._path(number).stat().st_size for number in later]
        return max(sum(sizes) - offset, 0)

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self._directory.glob("*.wal"))

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}.wal"

    def _go_to(self, segment: int, *, skipped: bool) -> None:
        if skipped:
            self.lost_segments += segment - self.position.segment
            log.warning("%s: segments before %d are gone; they are not sent", self._directory, segment)  # fmt: skip
        self.position = Position(segment, 0)
        self._labels, self._layouts, self._read_until = {}, {}, 0

    def _define(self, path: Path, until: int) -> None:
        """Learn what the part of a segment that is done defines."""
        self._read_until = _HEAD
        passed = Taken(self.position)
        while self._read_until < until and self._advance(path, self._read_until, passed, until):
            passed = Taken(self.position)

    def _resume(self, path: Path, offset: int) -> int:
        """Return the last end of a record that is not behind a place."""
        self._labels, self._layouts, self._read_until = {}, {}, 0
        self._define(path, min(offset, path.stat().st_size))
        return self._read_until

    def _advance(self, path: Path, at: int, taken: Taken, until: int | None = None) -> bool:
        """Take the whole records from a place on, a few megabytes at most; False if there is none."""
        room = _READ_BYTES
        while True:
            wanted = room if until is None else min(room, until - at)
            with path.open("rb") as file:
                file.seek(at)
                data = file.read(wanted)
            done = 0
            for kind, payload, end in _whole(data):
                self._take(kind, payload, taken)
                done = end
            if done or len(data) < wanted or wanted < room:
                break
            room *= 4  # a record that is longer than that
        self._read_until = at + done
        taken.position = Position(taken.position.segment, self._read_until)
        return done > 0

    def _take(self, kind: Kind, payload: memoryview, taken: Taken) -> None:
        if kind is Kind.SERIES:
            refs, table = records.read_series(payload)
            self._labels.update(zip(refs.tolist(), table.rows(), strict=True))
        elif kind is Kind.LAYOUT:
            number, refs = records.read_layout(payload)
            self._layouts[number] = FollowedLayout(tuple(self._labels[r] for r in refs.tolist()))
        elif kind is Kind.SCRAPES:
            for scrape in records.read_scrapes(payload):
                taken.scrapes.append((self._layouts[scrape.layout_id], scrape.ts_ms, scrape.values))
        elif kind is Kind.SAMPLES:
            taken.samples.append(records.read_samples(payload))
        elif kind is Kind.TYPED_SAMPLES:
            taken.samples.append(records.read_typed_samples(payload))
        elif kind is Kind.EXEMPLARS:  # ALL_EXEMPLARS repeats what was there before
            refs, exemplars = records.read_exemplars(payload)
            taken.exemplars += zip(refs.tolist(), exemplars, strict=True)


def _whole(data: bytes) -> Iterator[tuple[Kind, memoryview, int]]:
    """Yield the records that are whole, each with its end."""
    end = 0
    for item in records.read(records.SEGMENT_HEAD + data):
        if isinstance(item, Damage):
            return
        kind, payload = item
        end += _RECORD_BYTES + len(payload)
        yield kind, payload, end
