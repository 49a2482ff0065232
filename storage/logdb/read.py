"""Reading segments: a row group at a time, and what is left of a segment that is damaged.

Every page has a checksum, so that nothing damaged is taken for data. A row group that cannot be read
is left out, said and counted once; the others are as good as ever.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from storage.logdb import tokens
from storage.logdb.document import COLUMNS
from storage.logdb.index import DamagedIndexError, Filters, read_header
from storage.logdb.segment import Group, index_name
from storage.logdb.table import DICTIONARIES

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_log = logging.getLogger(__name__)

_MAGIC: Final = b"PAR1"
_CLOSE_BYTES: Final = 32 * 1024
Lost = Callable[[int, str], None]  # bytes, and a sentence


class DamagedSegmentError(ValueError):
    """Nothing of the file can be read."""


class OpenSegment:
    """What is known of one segment without reading its records. May be shared by threads.

    Attributes:
        path: The file.
        groups: Its row groups.
        bad: Numbers of those that cannot be read.
    """

    def __init__(self, path: Path, lost: Lost) -> None:
        """Read footer and index.

        Args:
            path: The file.
            lost: Told of each row group that turns out to be damaged.

        Raises:
            DamagedSegmentError: If nothing of it can be read.
            OSError: If it is not there.
        """
        self.path = path
        self._lost = lost
        self._filters: Filters | None = None
        self._files: list[Any] = []  # open, and used by nobody
        groups, self._footer, size = self._read_index()
        self.bad: set[int] = set()
        if not groups or not self._footer or size != path.stat().st_size:
            groups = self._without_index(groups)
        self.groups: Sequence[Group] = groups
        self.min_ts_ns = np.array([group.min_ts_ns for group in groups], dtype=np.int64)
        self.max_ts_ns = np.array([group.max_ts_ns for group in groups], dtype=np.int64)

    def _read_index(self) -> tuple[Sequence[Group], bytes, int]:
        """Return row groups, footer and size of the segment, as the index has them."""
        path = self.path.with_name(index_name(self.path.name))
        try:
            header, footer, first = read_header(path)
            self._filters = Filters(path, first, header.groups)
        except FileNotFoundError:
            return (), b"", 0  # a segment of an earlier version
        except (OSError, DamagedIndexError) as error:
            _log.warning("log store: %s cannot be used, searches take longer: %s", path, error)
            return (), b"", 0
        return header.groups, footer, header.segment.size

    @cached_property
    def _metadata(self) -> Any:
        """Parquet's own, which a search that finds nothing here can do without."""
        return _metadata(self.path, self._footer)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._metadata.schema.names)}

    def _without_index(self, groups: Sequence[Group]) -> Sequence[Group]:
        """Return the row groups of a segment that is not as its index says."""
        count = self._metadata.num_row_groups
        if len(groups) != count:
            self._filters = None
            try:
                groups = [_group(self._metadata, number) for number in range(count)]
            except (KeyError, ValueError, OSError) as error:
                raise DamagedSegmentError(f"its footer says nonsense: {error!r}") from error
        size = self.path.stat().st_size
        if count and _end(self._metadata, count - 1) > size:
            self.bad = {number for number in range(count) if _end(self._metadata, number) > size}
        return groups

    def open(self) -> "pq.ParquetFile":
        """Open the file for one thread; close it when done.

        Raises:
            OSError: If it is not there.
        """
        import pyarrow.parquet as pq

        return pq.ParquetFile(
            self.path,
            metadata=self._metadata,
            read_dictionary=list(DICTIONARIES),
            page_checksum_verification=True,
        )

    def schema(self) -> "pa.Schema":
        """Return the schema of ``batches``."""
        import pyarrow as pa

        with self.open() as file:
            whole = file.schema_arrow
        return pa.schema([whole.field(name) for name in COLUMNS])

    def read(self, number: int, columns: Sequence[str]) -> "dict[str, pa.Array] | None":
        """Return columns of a row group, None if it cannot be read."""
        import pyarrow as pa

        if number in self.bad:
            return None
        rows, names = self.groups[number].rows, list(columns)
        try:
            file = self._files.pop() if self._files else self.open()
            table = file.read_row_group(number, columns=names, use_threads=False)
            if table.num_rows != rows:
                raise ValueError(f"{table.num_rows} records instead of {rows}")
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            self._is_bad(number, rows, error)
            return None
        self._files.append(file)
        found = {}
        for name in names:
            column = table.column(name)
            found[name] = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        return found

    def prefetch(self, numbers: Sequence[int], columns: Sequence[str] = ()) -> None:
        """Have the disk bring columns of some row groups at once; all columns if none are named."""
        ranges: list[tuple[int, int]] = []
        for number in numbers:
            if not columns:
                start = _start(self._metadata, number)
                ranges.append((start, _end(self._metadata, number) - start))
                continue
            row_group = self._metadata.row_group(number)
            for name in columns:
                column = row_group.column(self._places[name])
                ranges.append((_offset(column), column.total_compressed_size))
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_RDONLY)
            try:
                for start, size in _joined(sorted(ranges)):
                    os.posix_fadvise(fd, start, size, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(fd)

    def batches(self, rows: int) -> "Iterator[pa.Table]":
        """Yield all records that can be read, in order, some at a time."""
        import pyarrow as pa

        with self.open() as file:
            for number, group in enumerate(self.groups):
                left = group.rows
                try:
                    if number in self.bad:
                        continue
                    for batch in file.iter_batches(rows, row_groups=[number], use_threads=False):
                        left -= batch.num_rows
                        yield pa.Table.from_batches([batch]).select(COLUMNS)
                except (pa.ArrowException, OSError, ValueError, KeyError) as error:
                    self._is_bad(number, left, error)

    def _is_bad(self, number: int, rows: int, error: Exception) -> None:
        if number not in self.bad:
            self.bad.add(number)
            size = _end(self._metadata, number) - _start(self._metadata, number)
            reason = str(error).strip() or type(error).__name__
            self._lost(size, f"{rows} records of {self.path} cannot be read: {reason}")

    def may_have(self, number: int, hashes: tokens.Hashes) -> bool:
        """Tell whether a row group can have all tokens of these hashes."""
        return self._filters is None or self._filters.may_have(number, hashes)

    def expect(self, numbers: Sequence[int], hashes: tokens.Hashes) -> None:
        """Have the disk bring what ``may_have`` will look at."""
        if self._filters is not None:
            self._filters.expect(numbers, hashes)


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges of which those that are close are one."""
    joined: list[tuple[int, int]] = []
    for start, size in ranges:
        if joined and start <= sum(joined[-1]) + _CLOSE_BYTES:
            first, before = joined[-1]
            joined[-1] = (first, max(before, start + size - first))
        else:
            joined.append((start, size))
    return joined


def _metadata(path: Path, footer: bytes) -> Any:
    """Return the Parquet metadata: by the copy that has a checksum, else by the file's own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for source in (pa.BufferReader(_MAGIC + footer) if footer else None, path):
        try:
            if source is not None:
                return pq.read_metadata(source)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            if source is path:
                raise DamagedSegmentError(f"its footer cannot be read: {error}") from error
    raise DamagedSegmentError("it has no footer")


def _group(metadata: Any, number: int) -> Group:
    """Return what the Parquet footer knows of a row group."""
    row_group = metadata.row_group(number)
    columns = {
        row_group.column(i).path_in_schema: row_group.column(i)
        for i in range(row_group.num_columns)
    }
    ranges = {}
    for name in ("ts_ns", "task_id", "seq"):
        found = columns[name].statistics
        known = found is not None and found.has_min_max
        ranges[name] = (found.min, found.max) if known else _EVERYTHING[name]
    return Group(
        rows=row_group.num_rows,
        min_ts_ns=ranges["ts_ns"][0],
        max_ts_ns=ranges["ts_ns"][1],
        min_task=ranges["task_id"][0],
        max_task=ranges["task_id"][1],
        min_seq=ranges["seq"][0],
        max_seq=ranges["seq"][1],
        text_bytes=sum(columns[name].total_uncompressed_size for name in ("message", "fields")),
    )


_EVERYTHING: Final[dict[str, tuple[Any, Any]]] = {
    "ts_ns": (-(2**63), 2**63 - 1),
    "seq": (0, 2**63 - 1),
    "task_id": ("", "\U0010ffff"),
}


def _start(metadata: Any, number: int) -> int:
    """Return where a row group begins in the file; columns stand in order."""
    return _offset(metadata.row_group(number).column(0))


def _end(metadata: Any, number: int) -> int:
    """Return where a row group ends in the file."""
    columns = metadata.row_group(number)
    last = columns.column(columns.num_columns - 1)
    return _offset(last) + int(last.total_compressed_size)


def _offset(column: Any) -> int:
    first = column.dictionary_page_offset
    return int(column.data_page_offset if first is None else min(first, column.data_page_offset))
