"""Writing segments, a row group at a time, each with its index."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from msgspec.structs import replace

from storage.files import place
from storage.logdb import tokens
from storage.logdb.chunk import Chunk
from storage.logdb.index import write_index
from storage.logdb.segment import GROUP_BYTES, ROW_GROUP, Commit, Group, Segment, index_name
from storage.logdb.table import DICTIONARIES, column_bytes, to_table

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ENCODINGS: Final = {
    **dict.fromkeys(("ts_ns", "offset", "read_ns"), "DELTA_BINARY_PACKED"),
    # lengths apart from the texts: smaller, and half the time to search
    **dict.fromkeys(("message", "fields"), "DELTA_LENGTH_BYTE_ARRAY"),
}
_TAIL_BYTES: Final = 8  # length of the footer and magic


def write_segment(chunks: Sequence[Chunk], path: Path, commit: Commit | None = None) -> Segment:
    """Write the records of some chunks as one segment, on disk for good when this returns.

    Raises:
        OSError: If it could not be written; nothing of it counts then.
    """
    table = to_table(chunks)
    return place_segment(
        path,
        iter((table,)),
        table.schema,
        Segment(
            name=path.name,
            rows=table.num_rows,
            size=0,
            min_ts_ns=min(chunk.min_ts_ns for chunk in chunks),
            max_ts_ns=max(chunk.max_ts_ns for chunk in chunks),
            min_seq=min(chunk.seq for chunk in chunks),
            max_seq=max(chunk.seq for chunk in chunks),
            taken_ns=max(chunk.taken_ns for chunk in chunks),
        ),
        commit=commit,
    )


def place_segment(
    path: Path,
    tables: "Iterator[pa.Table]",
    schema: "pa.Schema",
    about: Segment,
    *,
    replaces: Sequence[str] = (),
    commit: Commit | None = None,
) -> Segment:
    """Write tables, sorted and each behind the one before, as a segment with its index.

    Args:
        path: Where.
        tables: The records.
        schema: Of all tables.
        about: What is known of the segment beforehand; rows and sizes are found out.
        replaces: Names of the segments that it is merged from.
        commit: See ``Commit``.

    Raises:
        OSError: If it could not be written; nothing of it counts then.
    """
    made = about

    def write(temporary: Path) -> None:
        nonlocal made
        with _Writer(temporary, schema) as writer:
            for table in tables:
                writer.add(table)
        rows = sum(group.rows for group, _ in writer.groups)
        made = replace(about, rows=rows, size=temporary.stat().st_size)
        size = write_index(
            path.with_name(index_name(path.name)),
            made,
            _footer(temporary),
            writer.groups,
            replaces=replaces,
            commit=commit,
        )
        made = replace(made, index_size=size)

    place(path, write)
    return made


def release_memory() -> None:
    """Give back what writing a segment took; Arrow would keep it for the next."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


class _Writer:
    """Cuts what comes into row groups and writes them."""

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        self._file = open_writer(path, schema)
        self._waiting: list[Any] = []
        self._rows = 0
        self._bytes = 0
        self.groups: list[tuple[Group, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._rows:
                self._write(self._taken())
        finally:
            self._file.close()

    def add(self, table: "pa.Table") -> None:
        """Take records that stand behind those before."""
        self._waiting.append(table)
        self._rows += table.num_rows
        self._bytes += int(text_lengths(table).sum())
        if self._rows < ROW_GROUP and self._bytes < GROUP_BYTES:
            return
        whole = self._taken()
        start = 0
        for end in _cuts(text_lengths(whole)):
            self._write(whole.slice(start, end - start))
            start = end
        if start < whole.num_rows:
            # a copy, else the small rest would keep all of it in memory
            self._waiting = [whole.slice(start).combine_chunks()]
            self._rows = self._waiting[0].num_rows
            self._bytes = int(text_lengths(self._waiting[0]).sum())

    def _taken(self) -> "pa.Table":
        import pyarrow as pa

        whole = pa.concat_tables(self._waiting).unify_dictionaries().combine_chunks()
        self._waiting, self._rows, self._bytes = [], 0, 0
        return whole

    def _write(self, table: "pa.Table") -> None:
        import pyarrow.compute as pc

        self._file.write_table(table, row_group_size=table.num_rows)
        ts_ns, seq = (table.column(name).to_numpy() for name in ("ts_ns", "seq"))
        task = table.column("task_id").chunk(0)
        filter_ = tokens.make_filter(_hashes(table))
        group = Group(
            rows=table.num_rows,
            min_ts_ns=int(ts_ns.min()),
            max_ts_ns=int(ts_ns.max()),
            min_task=task[0].as_py(),
            max_task=task[-1].as_py(),
            min_seq=int(seq.min()),
            max_seq=int(seq.max()),
            text_bytes=int(pc.sum(pc.binary_length(table.column("message"))).as_py() or 0)
            + int(pc.sum(pc.binary_length(table.column("fields"))).as_py() or 0),
            filter_bytes=len(filter_),
            constants=_constants(table),
        )
        self.groups.append((group, filter_))


def open_writer(path: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    """Return a writer with the encodings of a segment."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[*DICTIONARIES, "source", "run", "seq", "level", "flags"],
        column_encoding=_ENCODINGS,
        write_statistics=["ts_ns", "task_id", "seq"],  # what is asked for if the index is damaged
        write_page_checksum=True,
    )


def text_lengths(table: "pa.Table") -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the size of each record's message and own fields."""
    import pyarrow.compute as pc

    message, fields = (
        pc.fill_null(pc.binary_length(table.column(name)), 0).to_numpy().astype(np.int64)
        for name in ("message", "fields")
    )
    sizes: np.ndarray[Any, np.dtype[np.int64]] = message + fields
    return sizes


def _cuts(sizes: "np.ndarray[Any, np.dtype[np.int64]]") -> list[int]:
    """Return where full row groups end."""
    ends, start = [], 0
    total = np.concatenate([[0], np.cumsum(sizes)])
    while start < len(sizes):
        full = int(np.searchsorted(total, total[start] + GROUP_BYTES, side="left"))
        end = min(start + ROW_GROUP, max(start + 1, full))
        if end > len(sizes):
            break
        ends.append(end)
        start = end
    return ends


def _constants(table: "pa.Table") -> dict[str, str | int]:
    """Return the columns that have the same value in every record."""
    import pyarrow.compute as pc

    constants: dict[str, str | int] = {}
    for name in DICTIONARIES:
        column = table.column(name).chunk(0)
        codes = column.indices.to_numpy()
        if (codes == codes[0]).all():
            constants[name] = column[0].as_py()
    for name in ("run", "read_ns", "original_bytes", "flags"):
        numbers = table.column(name).to_numpy()
        if (numbers == numbers[0]).all():
            constants[name] = int(numbers[0])
    if not pc.sum(pc.binary_length(table.column("trace_id"))).as_py():
        constants["trace_id"] = ""
    return constants


def _hashes(table: "pa.Table") -> tokens.Hashes | None:
    """Return the hashes of all tokens of a row group, None if some of them cannot be known."""
    found = []
    for name, hashes in (
        ("message", tokens.message_hashes),
        ("fields", tokens.json_hashes),
        ("trace_id", tokens.message_hashes),
    ):
        data, starts = column_bytes(table.column(name).chunk(0))
        if data:
            one = hashes(data, starts)
            if one is None:
                return None
            found.append(one)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def _footer(path: Path) -> bytes:
    """Return the Parquet footer, its length and magic included."""
    with path.open("rb") as file:
        file.seek(-_TAIL_BYTES, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-_TAIL_BYTES - length, 2)
        return file.read()
