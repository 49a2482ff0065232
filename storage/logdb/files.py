"""The store's directory: its lock, its names, the segments readers hold on to, and finding it all again."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from model.errors import StorageError
from storage.logdb.chunk import Chunk
from storage.logdb.manifest import NAME, Manifest, write_manifest, write_sources
from storage.logdb.recover import check_segments, load_manifest, load_sources
from storage.logdb.segment import Segment, index_name
from storage.logdb.sources import Sources, covered
from storage.logdb.wal import replay

RESERVE_BYTES: Final = 1024 * 1024


class Recovered(Struct):
    """What opening the directory found.

    Attributes:
        sources: Which offsets are stored, the WAL's included.
        chunks: What is in the WAL and in no segment.
        lost: What is damaged: kind ("wal", "segments"), bytes, and a sentence.
    """

    sources: Sources
    chunks: list[Chunk] = field(default_factory=list)
    lost: list[tuple[str, int, str]] = field(default_factory=list)


class Files:
    """The directory of one store. ``manifest`` is the state in force; ``write`` then ``adopt`` change it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.wal = directory / "wal"
        self.segments = directory / "segments"
        self.temporary = directory / "tmp"
        self.manifest = Manifest()
        self._lock_fd = -1
        self._lock = Lock()
        self._pins: dict[str, int] = {}
        self._doomed: set[str] = set()

    def open(self) -> Recovered:
        """Take the directory and read what is in it.

        Raises:
            StorageError: If another process has it, or something in it is of a later version.
        """
        try:
            for directory in (self.directory, self.wal, self.segments):
                directory.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(self.directory / "LOCK", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"the log store cannot use {self.directory}: {error}") from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise StorageError(
                f"{self.directory} is in use by another process; stop it or choose another data directory"
            ) from error
        try:
            return self._recover()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the directory up."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def wal_path(self, number: int) -> Path:
        """Return the path of one WAL file."""
        return self.wal / f"{number:08d}.wal"

    def next_wal_number(self) -> int:
        """Return a number that no WAL file has or had."""
        numbers = [_number(path) for path in self.wal.glob("*.wal")]
        return max([self.manifest.wal_first, *(number + 1 for number in numbers)])

    def segment_path(self, number: int) -> Path:
        """Return the path of a new segment."""
        return self.segments / f"{number:08d}.parquet"

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest on the disk; ``adopt`` makes readers see it.

        Raises:
            OSError: If it could not be written; the old one stands then.
        """
        try:
            write_manifest(self.directory, manifest)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # deleting needs a little room: that is what the reserve is for
            (self.directory / "reserve").unlink(missing_ok=True)
            write_manifest(self.directory, manifest)

    def adopt(self, manifest: Manifest) -> None:
        """Make the manifest that ``write`` brought to the disk the one that is in force."""
        with self._lock:
            named = {segment.name for segment in manifest.segments}
            gone = {segment.name for segment in self.manifest.segments} - named
            self._doomed |= gone
            self.manifest = manifest

    def clean(self) -> None:
        """Delete what the manifest does not name any more; only for the one who writes the manifest.

        Anybody else could delete a file that is about to be named.
        """
        self._delete_doomed()
        self._delete_outdated(self.manifest)

    def pin(self, segments: Sequence[Segment]) -> None:
        """Keep segments readable until ``unpin``."""
        with self._lock:
            for segment in segments:
                self._pins[segment.name] = self._pins.get(segment.name, 0) + 1

    def unpin(self, segments: Sequence[Segment]) -> None:
        """Let segments go that ``pin`` kept."""
        with self._lock:
            for segment in segments:
                self._pins[segment.name] -= 1
                if not self._pins[segment.name]:
                    del self._pins[segment.name]
        self._delete_doomed()

    def keep_reserve(self) -> None:
        """Put a little room aside for the day the disk is full; without one if it is full already."""
        path = self.directory / "reserve"
        if path.exists():
            return
        with contextlib.suppress(OSError):
            path.write_bytes(b"\0" * RESERVE_BYTES)

    def disk_bytes(self) -> tuple[int, int]:
        """Return the bytes of segments and of WAL files."""
        wal = 0
        for path in self.wal.glob("*.wal"):
            with contextlib.suppress(FileNotFoundError):
                wal += path.stat().st_size
        return sum(s.size + s.index_size for s in self.manifest.segments), wal

    def _delete_doomed(self) -> None:
        """Delete segments that were in force and are no more, except those that readers hold."""
        with self._lock:
            free = {name for name in self._doomed if not self._pins.get(name)}
            self._doomed -= free
        for name in free:
            (self.segments / name).unlink(missing_ok=True)
            (self.segments / index_name(name)).unlink(missing_ok=True)

    def _recover(self) -> Recovered:
        found = Recovered(Sources())
        manifest, lost = load_manifest(self.directory, self.segments)
        found.lost += lost
        manifest, lost = check_segments(self.directory, self.segments, manifest)
        found.lost += lost
        found.sources, lost = load_sources(self.directory, self.segments, manifest)
        found.lost += lost
        if found.lost or not (self.directory / NAME).exists():
            with contextlib.suppress(OSError):  # without room it is found out once more next time
                if lost:
                    manifest = self._with_sources(manifest, found.sources)
                write_manifest(self.directory, manifest)
        self.manifest = manifest
        self._sweep(manifest)
        self._replay(found)
        return found

    def _with_sources(self, manifest: Manifest, sources: Sources) -> Manifest:
        path = self.directory / f"sources-{manifest.next_number:08d}"
        crc = write_sources(path, sources.dump())
        return replace(
            manifest,
            next_number=manifest.next_number + 1,
            sources_file=path.name,
            sources_crc=crc,
        )

    def _sweep(self, manifest: Manifest) -> None:
        """Delete what a crash left lying: temporary files, segments and logs that no manifest names."""
        named = {segment.name for segment in manifest.segments}
        named |= {index_name(name) for name in named}
        for path in self.segments.iterdir():
            if path.name not in named:
                path.unlink()
        for path in self.directory.glob("*.tmp"):
            path.unlink()
        self._delete_outdated(manifest)

    def _delete_outdated(self, manifest: Manifest) -> None:
        """Delete lists of sources and logs that are older than the manifest's."""
        for path in self.directory.glob("sources-*"):
            if path.name != manifest.sources_file:
                path.unlink(missing_ok=True)
        for path in self.wal.glob("*.wal"):
            if _number(path) < manifest.wal_first:
                path.unlink(missing_ok=True)

    def _replay(self, found: Recovered) -> None:
        for path in sorted(self.wal.glob("*.wal")):
            result = replay(path)
            if result.lost_bytes:
                sentence = f"{path}: {result.lost_bytes} bytes are lost; {result.reason}"
                found.lost.append(("wal", result.lost_bytes, sentence))
            for chunk in result.chunks:
                offsets = chunk.batch.offsets
                fresh = found.sources.new(chunk.source, offsets)
                if not fresh.all():  # a log rewritten after a failed sync may repeat a chunk
                    continue
                start, end = covered(offsets, chunk.batch.end_offset)
                found.sources.add(chunk.source, start, end, chunk.taken_ns)
                found.chunks.append(chunk)


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdigit() else 0
