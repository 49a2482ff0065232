"""A segment of the write-ahead log: how it begins, what it defines, and what is known of it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from storage.failpoint import reach
from storage.interface import Refs
from storage.tsdb import records
from storage.tsdb.files import fsync_directory, write_all
from storage.tsdb.index import SeriesIndex
from storage.tsdb.samples import concat
from storage.tsdb.sealed import sealed_record
from storage.tsdb.walgroup import Group


class SegmentInfo(Struct):
    """What must be in blocks before a segment may go.

    Attributes:
        max_ts_ms: Newest scrape in it.
        late: True if it holds samples with their own timestamps.
        exemplars: True if it holds exemplars.
        bytes: Its size.
        head_bytes: Size of what it began with.
    """

    max_ts_ms: int = np.iinfo(np.int64).min
    late: bool = False
    exemplars: bool = False
    bytes: int = 0
    head_bytes: int = 0

    @property
    def empty(self) -> bool:
        """True if no group was written to it."""
        return self.bytes == self.head_bytes

    def add(self, group: Group, size: int) -> None:
        """Note what is in it now."""
        self.bytes += size
        self.max_ts_ms = max([self.max_ts_ms, *(s.ts_ms for s in group.scrapes)])
        self.late = self.late or bool(group.samples)
        self.exemplars = self.exemplars or bool(group.exemplars)


class Definitions:
    """What a segment defines, and groups as bytes with what they need beyond it."""

    def __init__(self, index: SeriesIndex) -> None:
        self._index = index
        self._series: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._layouts: set[int] = set()

    def encode(self, group: Group) -> tuple[bytes, Refs]:
        """Return the group's bytes and the refs it defines."""
        parts = []
        fresh = [lay for lay in group.layouts.values() if lay.id not in self._layouts]
        used = [lay.refs for lay in fresh] + [np.unique(s.refs) for s in group.samples]
        used += [refs for refs, _ in group.exemplars]
        refs = np.empty(0, dtype=np.int64)
        if used:
            if self._index.size > len(self._series):
                grown = np.zeros(self._index.size * 2, dtype=np.bool_)
                grown[: len(self._series)] = self._series
                self._series = grown
            refs = np.unique(np.concatenate(used))
            refs = refs[~self._series[refs]]
            if len(refs):
                parts.append(records.series_record(refs, self._index.table(refs)))
        parts.extend(records.layout_record(lay.id, lay.refs) for lay in fresh)
        parts.extend(sealed_record(layout, chunk) for layout, chunk in group.sealed)
        if group.scrapes:
            parts.append(records.scrapes_record(group.scrapes))
        if group.samples:
            parts.append(records.samples_record(concat(group.samples)))
        if group.exemplars:
            found = group.every_exemplar()
            parts.append(records.exemplars_record(*found, whole=group.all_exemplars))
        if group.metadata:
            parts.append(records.metadata_record(group.metadata))
        return b"".join(parts), refs

    def add(self, group: Group, refs: Refs) -> None:
        """Note that a group is in the segment, which defines these refs."""
        self._series[refs] = True
        self._layouts.update(group.layouts)


def write_segment(
    path: Path, head: bytes, groups: Sequence[Group], index: SeriesIndex
) -> tuple[int, SegmentInfo, Definitions]:
    """Make a segment, which gets its name when its head and some groups are in it.

    Groups are durable then: of what is written again there is never a part, whose older samples
    would win over newer ones of the first time.

    Returns:
        The open file and what is in it.

    Raises:
        OSError: If the disk is full or broken; the segment is not there then.
    """
    info = SegmentInfo(bytes=len(head), head_bytes=len(head))
    definitions = Definitions(index)
    unnamed = path.with_suffix(".tmp")
    fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, head)
        for group in groups:
            data, refs = definitions.encode(group)
            write_all(fd, data)
            definitions.add(group, refs)
            info.add(group, len(data))
        if groups:
            os.fdatasync(fd)
        reach("wal.segment_written")
        unnamed.rename(path)
        fsync_directory(path.parent)
    except BaseException:
        os.close(fd)
        unnamed.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return fd, info, definitions


def remove_unnamed(directory: Path) -> None:
    """Delete what was being written when the process died.

    Raises:
        OSError: If that fails.
    """
    for path in directory.glob("*.tmp"):
        path.unlink()
