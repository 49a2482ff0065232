"""Searching the segments with DuckDB; it is loaded at the first search."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np

from model.errors import StorageError
from model.samples import Ints
from storage.interface import LogRecord
from storage.logdb.document import COLUMNS, own_texts, to_record
from storage.logdb.recent import Key, Window
from storage.logdb.sql import Sql
from storage.logquery.facets import MAX_VALUES
from storage.logquery.nodes import Node

_SELECT: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_IDLE_SECONDS: Final = 60.0


class Sealed:
    """Runs searches over Parquet files; may be used from any thread."""

    def __init__(self, temporary: Path, memory_bytes: int, threads: int) -> None:
        self._temporary = temporary
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._lock = Lock()
        self._connection: Any = None
        self._running = 0
        self._used_at = 0.0

    def search(
        self, files: Sequence[Path], node: Node, window: Window, limit: int
    ) -> list[tuple[Key, LogRecord]]:
        """Return the first ``limit`` records found, in the order of the window.

        Raises:
            StorageError: If a segment cannot be read.
        """
        sql = Sql()
        where = self._where(sql, node, window)
        order = "ASC" if window.ascending else "DESC"
        text = (
            f"SELECT {_SELECT} FROM {self._files(sql, files)} WHERE {where} ORDER BY ts_ns {order}, "
            f'source {order}, "offset" {order} LIMIT {int(limit)}'
        )
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in self._rows(text, sql)]
        return [((row["ts_ns"], row["source"], row["offset"]), to_record(row)) for row in rows]

    def stored_after(
        self, files: Sequence[Path], node: Node, after: tuple[int, int], until_seq: int, limit: int
    ) -> list[tuple[tuple[int, int], LogRecord]]:
        """Return records of batches behind (seq, offset) and before ``until_seq``, in the order they were stored.

        Raises:
            StorageError: If a segment cannot be read.
        """
        sql = Sql()
        source = self._files(sql, files)
        seq, offset = sql.param(after[0]), sql.param(after[1])
        text = (
            f"SELECT {_SELECT} FROM {source} WHERE seq >= {seq} AND seq < {sql.param(until_seq)} "
            f'AND (seq > {seq} OR "offset" > {offset}) AND {sql.condition(node)} '
            f'ORDER BY seq, "offset" LIMIT {int(limit)}'
        )
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in self._rows(text, sql)]
        return [((row["seq"], row["offset"]), to_record(row)) for row in rows]

    def histogram(
        self, files: Sequence[Path], node: Node, window: Window, edges_ns: Ints, width_ns: int
    ) -> dict[int, Ints]:
        """Count the records found by level code and bucket.

        Raises:
            StorageError: If a segment cannot be read.
        """
        sql = Sql()
        where = self._where(sql, node, window)
        bucket = f"(ts_ns - {sql.param(int(edges_ns[0]))}) // {sql.param(width_ns)}"
        text = (
            f"SELECT level, {bucket} AS bucket, count(*) FROM {self._files(sql, files)} "
            f"WHERE {where} GROUP BY ALL"
        )
        counts: dict[int, Ints] = {}
        for level, index, count in self._rows(text, sql):
            column = counts.setdefault(level, np.zeros(len(edges_ns), dtype=np.int64))
            column[min(index, len(edges_ns) - 1)] += count
        return counts

    def facets(
        self, files: Sequence[Path], node: Node, window: Window, fields: Sequence[str]
    ) -> dict[str, Counter[str]]:
        """Count the values of some fields among the records found, of each at most ``MAX_VALUES``.

        Raises:
            StorageError: If a segment cannot be read.
        """
        counts: dict[str, Counter[str]] = {}
        for field in fields:
            sql = Sql()
            where = self._where(sql, node, window)
            text = (
                f"SELECT value, count(*) FROM (SELECT unnest({sql.values(field)}) AS value "
                f"FROM {self._files(sql, files)} WHERE {where}) "
                f"WHERE value <> '' GROUP BY value ORDER BY count(*) DESC, value LIMIT {MAX_VALUES}"
            )
            counts[field] = Counter(dict(self._rows(text, sql)))
        return counts

    def rest(self) -> None:
        """Let DuckDB and its memory go if nobody has searched for a while; a later search loads it again."""
        with self._lock:
            idle = time.monotonic() - self._used_at > _IDLE_SECONDS
            if self._connection is not None and not self._running and idle:
                self._connection.close()
                self._connection = None

    def close(self) -> None:
        """Let DuckDB go."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _where(self, sql: Sql, node: Node, window: Window) -> str:
        tests = [
            f"ts_ns BETWEEN {sql.param(window.start_ns)} AND {sql.param(window.end_ns)}",
            sql.condition(node),
        ]
        if window.max_seq < 2**63 - 1:
            tests.append(f"seq <= {sql.param(window.max_seq)}")
        if window.after is not None:
            ts_ns, source, offset = map(sql.param, window.after)
            beyond = ">" if window.ascending else "<"
            tests.append(
                f"(ts_ns {beyond}= {ts_ns} AND (ts_ns {beyond} {ts_ns} OR source {beyond} {source} "
                f'OR (source = {source} AND "offset" {beyond} {offset})))'
            )
        return " AND ".join(tests)

    def _files(self, sql: Sql, files: Sequence[Path]) -> str:
        return f"read_parquet({sql.param([str(file) for file in files])})"

    def _rows(self, text: str, sql: Sql) -> list[tuple[Any, ...]]:
        import duckdb

        cursor = self._cursor()
        try:
            rows: list[tuple[Any, ...]] = cursor.execute(text, sql.parameters).fetchall()
        except duckdb.Error as error:
            raise StorageError(f"the log store cannot search its segments: {error}") from error
        finally:
            cursor.close()
            with self._lock:
                self._running -= 1
                self._used_at = time.monotonic()
        return rows

    def _cursor(self) -> Any:
        import duckdb

        with self._lock:
            if self._connection is None:
                self._connection = duckdb.connect(
                    ":memory:",
                    config={
                        "threads": self._threads,
                        "memory_limit": f"{self._memory_bytes}B",
                        "temp_directory": str(self._temporary),
                        "autoinstall_known_extensions": False,
                        "autoload_known_extensions": False,
                        "enable_object_cache": True,
                    },
                )
                self._connection.create_function(
                    "own_values", _own_values, ["VARCHAR", "VARCHAR"], "VARCHAR[]"
                )
            self._running += 1
            return self._connection.cursor()


def _own_values(text: str, field: str) -> list[str]:
    """Return the values of one of a record's own fields, for what DuckDB reads otherwise than we do."""
    return own_texts(text, (field,)).get(field, [])
