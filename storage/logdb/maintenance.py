"""What the store does behind everybody's back: sealing, merging, forgetting."""

from collections.abc import Sequence
from threading import Lock
from typing import Final

from msgspec.structs import asdict, replace

from model.clock import Clock
from storage.logdb.files import Files
from storage.logdb.manifest import write_sources
from storage.logdb.merge import merge, plan
from storage.logdb.metrics import LogDbMetrics
from storage.logdb.parts import Parts
from storage.logdb.read import Lost
from storage.logdb.segment import Commit, Segment
from storage.logdb.settings import DAY_NS, LogDbSettings
from storage.logdb.write import release_memory, write_segment
from storage.logdb.writer import Writer

# retention deletes whole segments, so none is merged that spans more than this part of it
_RETENTION_STEPS: Final = 10
# a source is remembered longer than its records, in case it is shipped again from its beginning
_FORGET_NS: Final = 7 * DAY_NS


class Maintenance:
    """Changes the manifest, one thing at a time."""

    def __init__(
        self,
        files: Files,
        parts: Parts,
        writer: Writer,
        *,
        settings: LogDbSettings,
        clock: Clock,
        metrics: LogDbMetrics,
        lost: Lost,
    ) -> None:
        self._lost = lost
        self._files = files
        self._parts = parts
        self._writer = writer
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._busy = Lock()

    def seal(self) -> bool:
        """Make a segment of what is in memory; tells whether there was anything.

        Raises:
            OSError: If it could not be written; nothing has changed then.
        """
        with self._busy:
            return self._seal()

    def _seal(self) -> bool:
        with self._parts.lock:
            chunks = list(self._parts.recent)
            if not chunks:
                return False
            wal_first = self._writer.rotate()
            self._writer.sources.forget_before(self._oldest_ns() - _FORGET_NS)
            sources = self._writer.sources.dump()
        manifest = self._files.manifest
        number = manifest.next_number
        sources_path = self._files.directory / f"sources-{number:08d}"
        commit = Commit(
            wal_first=wal_first,
            next_seq=chunks[-1].seq + 1,
            sources_file=sources_path.name,
            sources_crc=write_sources(sources_path, sources),
        )
        segment = write_segment(chunks, self._files.segment_path(number), commit)
        manifest = replace(
            manifest,
            segments=(*manifest.segments, segment),
            next_number=number + 1,
            **asdict(commit),
        )
        self._files.write(manifest)
        self._parts.adopt(manifest, sealed=len(chunks))
        self._files.clean()
        release_memory()
        return True

    def merge(self) -> bool:
        """Make one larger segment of some small ones, if there are enough; tells whether it did.

        Raises:
            OSError: If it could not be written; nothing has changed then.
        """
        with self._busy:
            return self._merge()

    def _merge(self) -> bool:
        manifest = self._files.manifest
        max_age_ns = self._settings.retention_ns // _RETENTION_STEPS
        small = plan(manifest.segments, self._settings.segment_bytes, max_age_ns)
        if not small:
            return False
        paths = [self._files.segments / segment.name for segment in small]
        commit = Commit(
            manifest.wal_first, manifest.next_seq, manifest.sources_file, manifest.sources_crc
        )
        path = self._files.segment_path(manifest.next_number)
        merged = merge(small, paths, path, commit, self._lost)
        rest = tuple(segment for segment in manifest.segments if segment not in small)
        manifest = replace(manifest, segments=(*rest, merged), next_number=manifest.next_number + 1)
        self._files.write(manifest)
        self._parts.adopt(manifest)
        self._files.clean()
        release_memory()
        return True

    def expire(self) -> None:
        """Delete segments that are too old, or too many.

        Raises:
            OSError: If the manifest could not be written; nothing is deleted then.
        """
        with self._busy:
            self._expire()

    def _expire(self) -> None:
        manifest = self._files.manifest
        old, many = expired(manifest.segments, self._oldest_ns(), self._settings.retention_bytes)
        if not old and not many:
            return
        gone = {segment.name for segment in (*old, *many)}
        kept = tuple(segment for segment in manifest.segments if segment.name not in gone)
        manifest = replace(manifest, segments=kept)
        self._files.write(manifest)
        self._parts.adopt(manifest)
        self._files.clean()
        self._files.keep_reserve()
        self._metrics.dropped.labels("age").inc(sum(segment.rows for segment in old))
        self._metrics.dropped.labels("size").inc(sum(segment.rows for segment in many))

    def _oldest_ns(self) -> int:
        return self._clock.now_ns() - self._settings.retention_ns

    def show(self) -> None:
        """Bring the gauges up to date."""
        segments, wal = self._files.disk_bytes()
        self._metrics.disk_bytes.labels("segments").set(segments)
        self._metrics.disk_bytes.labels("wal").set(wal)
        self._metrics.segments.set(len(self._files.manifest.segments))
        self._metrics.recent_bytes.set(self._parts.recent_bytes)


def expired(
    segments: Sequence[Segment], oldest_ns: int, max_bytes: int
) -> tuple[list[Segment], list[Segment]]:
    """Return the segments that are too old, and of the rest those that are too many, oldest first."""
    old = [segment for segment in segments if segment.taken_ns < oldest_ns]
    rest = sorted(
        (segment for segment in segments if segment.taken_ns >= oldest_ns),
        key=lambda segment: segment.taken_ns,
    )
    size = sum(segment.size + segment.index_size for segment in rest)
    many = []
    for segment in rest:
        if size <= max_bytes:
            break
        many.append(segment)
        size -= segment.size + segment.index_size
    return old, many
