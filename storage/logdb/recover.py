"""Finding a store again of which something is damaged: it starts, says so, and loses only what is damaged."""

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from msgspec.structs import asdict, replace

from model.errors import StorageError
from storage.logdb.index import DamagedIndexError, Header, read_header
from storage.logdb.manifest import DamagedError, Manifest, read_manifest, read_sources
from storage.logdb.read import DamagedSegmentError, OpenSegment
from storage.logdb.segment import Group, Segment, index_name
from storage.logdb.sources import Sources

_log = logging.getLogger(__name__)

LostPart = tuple[str, int, str]  # kind, bytes, and a sentence
SET_ASIDE: Final = "damaged"  # the directory for files that nobody can read


def load_manifest(directory: Path, segments: Path) -> tuple[Manifest, list[LostPart]]:
    """Return the manifest, made anew from what the segments say if it is damaged or gone.

    Raises:
        StorageError: If it is of a version this program does not know.
    """
    try:
        manifest = read_manifest(directory)
    except DamagedError as error:
        why, size = str(error), error.size
    else:
        if manifest is not None:
            return manifest, []
        if not any(segments.glob("*.parquet")):
            return Manifest(), []
        why, size = f"{directory / 'MANIFEST'} is gone", 0
    found = _from_segments(segments)
    count = len(found.segments)
    sentence = f"{why}; what it said was found again from {count} segment{'s' * (count != 1)}"
    return found, [("manifest", size, sentence)]


def load_sources(
    directory: Path, segments: Path, manifest: Manifest
) -> tuple[Sources, list[LostPart]]:
    """Return which offsets are stored, found out from the segments if the list of them is damaged."""
    if not manifest.sources_file:
        return Sources(), []
    path = directory / manifest.sources_file
    try:
        return read_sources(path, manifest.sources_crc), []
    except StorageError as error:
        size = path.stat().st_size if path.exists() else 0
        sentence = f"{error}; which lines are stored was found again from the segments"
        return _sources_of(segments, manifest.segments), [("sources", size, sentence)]


def check_segments(
    directory: Path, segments: Path, manifest: Manifest
) -> tuple[Manifest, list[LostPart]]:
    """Return the manifest with what is there of its segments; a file that nobody can read is set aside."""
    kept: list[Segment] = []
    lost: list[LostPart] = []
    for segment in manifest.segments:
        path = segments / segment.name
        size = path.stat().st_size if path.exists() else -1
        if size == segment.size:
            kept.append(segment)
            continue
        what = "is gone" if size < 0 else f"has {size} bytes instead of {segment.size}"
        rows = _rows_left(path)
        if rows:
            kept.append(replace(segment, rows=rows, size=size))
        elif size >= 0:
            _set_aside(directory, path)
            what += f" and was moved to {directory / SET_ASIDE}"
        sentence = f"{path} {what}; {segment.rows - rows} of its {segment.rows} records are lost"
        lost.append(("segments", segment.size - max(0, size), sentence))
    return replace(manifest, segments=tuple(kept)), lost


def _rows_left(path: Path) -> int:
    """Return how many records of a segment are in row groups that the file still has."""
    try:
        opened = OpenSegment(path, lambda size, sentence: None)
    except (DamagedSegmentError, OSError):
        return 0
    return sum(g.rows for number, g in enumerate(opened.groups) if number not in opened.bad)


def _set_aside(directory: Path, path: Path) -> None:
    target = directory / SET_ASIDE
    with contextlib.suppress(OSError):
        target.mkdir(exist_ok=True)
        path.rename(target / path.name)


def _from_segments(directory: Path) -> Manifest:
    """Return a manifest made of what the segments and their indices say."""
    headers: dict[str, Header] = {}
    bare: list[Segment] = []
    for path in sorted(directory.glob("*.parquet")):
        beside = path.with_name(index_name(path.name))
        try:
            header, _, _ = read_header(beside)
        except (OSError, DamagedIndexError):
            if found := _bare(path):
                bare.append(found)
            continue
        segment = replace(header.segment, index_size=beside.stat().st_size)
        headers[path.name] = replace(header, segment=segment)
    merged = {name for header in headers.values() for name in header.replaces}
    segments = tuple(h.segment for name, h in headers.items() if name not in merged)
    segments += tuple(segment for segment in bare if segment.name not in merged)
    numbers = [int(p.stem) for p in directory.iterdir() if p.stem.isdigit()]
    commits = [header.commit for header in headers.values() if header.commit is not None]
    newest = max(commits, key=lambda commit: (commit.wal_first, commit.next_seq), default=None)
    manifest = Manifest(
        segments=segments,
        next_number=max(numbers, default=0) + 1,
        next_seq=max((segment.max_seq for segment in segments), default=0) + 1,
    )
    return manifest if newest is None else replace(manifest, **asdict(newest))


def _bare(path: Path) -> Segment | None:
    """Return what a segment says without its index, None if nothing of it can be read."""
    try:
        opened = OpenSegment(path, lambda size, sentence: None)
        stat = path.stat()
    except (DamagedSegmentError, OSError):
        return None
    groups: Sequence[Group] = opened.groups
    if not groups:
        return None
    return Segment(
        name=path.name,
        rows=sum(group.rows for group in groups),
        size=stat.st_size,
        min_ts_ns=min(group.min_ts_ns for group in groups),
        max_ts_ns=max(group.max_ts_ns for group in groups),
        min_seq=min(group.min_seq for group in groups),
        max_seq=max(group.max_seq for group in groups),
        taken_ns=stat.st_mtime_ns,
    )


def _sources_of(directory: Path, segments: Sequence[Segment]) -> Sources:
    """Return which offsets the segments have, of each source from the first to the last."""
    sources = Sources()
    for segment in segments:
        try:
            opened = OpenSegment(directory / segment.name, lambda size, sentence: None)
        except (DamagedSegmentError, OSError):
            continue
        for number in range(len(opened.groups)):
            columns = opened.read(number, ("source", "offset"))
            if columns is None:
                continue
            source, offset = (columns[name].to_numpy() for name in ("source", "offset"))
            for key in np.unique(source).tolist():
                own = offset[source == key]
                sources.add(key, int(own.min()), int(own.max()) + 1, segment.taken_ns)
    return sources
