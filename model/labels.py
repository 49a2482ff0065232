"""Label sets: one at a time (``Labels``, for output) and as columns (``LabelTable``, for work)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

METRIC_NAME: Final = "__name__"

Codes = npt.NDArray[np.int32]
MadeT = TypeVar("MadeT")

_MOST_NOTES: Final = 64


class Labels(tuple[tuple[str, str], ...]):
    """A label set: pairs sorted by name, no empty values. Hashable and comparable as a tuple is."""

    __slots__ = ()

    @classmethod
    def of(cls, pairs: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> Self:
        """Build from a mapping or pairs in any order; empty values are left out."""
        items = pairs.items() if isinstance(pairs, Mapping) else pairs
        return cls(sorted((name, value) for name, value in items if value))

    def get(self, name: str, default: str = "") -> str:
        """Return one label's value."""
        return next((value for key, value in self if key == name), default)

    def asdict(self) -> dict[str, str]:
        """Return a new dict of the pairs."""
        return dict(self)


class MatchOp(Enum):
    """How a matcher compares; the values are PromQL's operators."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


class Matcher(Struct, frozen=True):
    """A condition on one label. Regular expressions are RE2 and anchored at both ends; a missing label is ""."""

    name: str
    op: MatchOp
    value: str


class LabelColumn(Struct, frozen=True):
    """One label name over n series.

    Attributes:
        codes: int32, shape (n,), indices into ``values``; 0 means the label is absent.
        values: Each string once, ``values[0] == ""``. It may hold more than the codes use and may
            be shared with, and grow in, the store; it never changes what is there already.
    """

    codes: Codes
    values: Sequence[str]


class LabelTable(Struct, frozen=True, eq=False):
    """The labels of n series as columns of codes; label names that no series has are left out.

    Attributes:
        size: n, the number of series.
        columns: By label name.
        notes: See ``once``.
    """

    size: int
    columns: Mapping[str, LabelColumn]
    notes: dict[object, Any] = field(default_factory=dict)

    def once(self, key: object, make: Callable[[], MadeT]) -> MadeT:
        """Return what follows from this table alone, worked out the first time somebody asks.

        A store gives the same table to one query after the other, so that groups and pairs of its
        series are found once. What is returned must not be written to.
        """
        found: MadeT | None = self.notes.get(key)
        if found is None:
            if len(self.notes) >= _MOST_NOTES:
                self.notes.clear()
            found = self.notes[key] = make()
        return found

    def once_with(self, key: object, other: "LabelTable", make: Callable[[], MadeT]) -> MadeT:
        """Return what follows from this table and another, worked out when they first meet; see ``once``."""
        found: tuple[LabelTable, MadeT] | None = self.notes.get(key)
        if found is None or found[0] is not other:
            if len(self.notes) >= _MOST_NOTES:
                self.notes.clear()
            found = self.notes[key] = (other, make())
        return found[1]

    @classmethod
    def from_labels(cls, rows: Sequence[Mapping[str, str] | Labels]) -> Self:
        """Build from label sets; for tests, small inputs and output that queries make."""
        names = sorted({name for row in rows for name in dict(row)})
        columns = {}
        for name in names:
            index = {"": 0}
            codes = [index.setdefault(dict(row).get(name, ""), len(index)) for row in rows]
            columns[name] = LabelColumn(np.array(codes, dtype=np.int32), list(index))
        return cls(len(rows), columns)

    def labels(self, row: int) -> Labels:
        """Return one series' labels."""
        return Labels.of((name, col.values[col.codes[row]]) for name, col in self.columns.items())

    def rows(self) -> list[Labels]:
        """Return every series' labels; only for output."""
        names = sorted(self.columns)
        if not names:
            return [Labels()] * self.size
        texts = [
            list(map(self.columns[n].values.__getitem__, self.columns[n].codes.tolist()))
            for n in names
        ]
        return [
            Labels((n, v) for n, v in zip(names, row, strict=True) if v)
            for row in zip(*texts, strict=True)
        ]

    def in_order(self) -> tuple[npt.NDArray[np.int64], Self]:
        """Return the rows in the order of their labels, int64 (n,), and the table in that order: itself if it is."""
        order, table = self.once("order", self._in_order)
        return order, self if table is None else table

    def _in_order(self) -> tuple[npt.NDArray[np.int64], Self | None]:
        rows = self.rows()
        order = np.array(sorted(range(self.size), key=rows.__getitem__), dtype=np.int64)
        return order, None if (order[1:] > order[:-1]).all() else self.take(order)

    def take(self, rows: npt.NDArray[np.integer]) -> Self:
        """Return the table of the rows named, in that order (an index array or a mask)."""
        columns = {
            name: LabelColumn(col.codes[rows], col.values) for name, col in self.columns.items()
        }
        size = int(rows.sum()) if rows.dtype == np.bool_ else len(rows)
        taken = type(self)(size, columns)
        if rows.dtype == np.bool_ and self.notes.get("distinct"):
            taken.notes["distinct"] = True  # of rows that differ some differ too
        return taken

    def keep(self, names: Iterable[str]) -> Self:
        """Return the table with only these label names."""
        wanted = set(names)
        return type(self)(self.size, {n: c for n, c in self.columns.items() if n in wanted})

    def drop(self, names: Iterable[str]) -> Self:
        """Return the table without these label names."""
        unwanted = set(names)
        return type(self)(self.size, {n: c for n, c in self.columns.items() if n not in unwanted})

    def with_column(self, name: str, column: LabelColumn) -> Self:
        """Return the table with one column set or replaced."""
        return type(self)(self.size, {**self.columns, name: column})

    @property
    def distinct(self) -> bool:
        """Whether no two rows are equal."""
        return self.once("distinct", lambda: len(self.group(self.columns)[1]) == self.size)

    def group(self, names: Iterable[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Group the rows by some of their labels.

        Returns:
            ``(group, first)``: group number of each row, shape (n,), and for each group the
            first row that is in it, shape (groups,). Numbers run in order of first appearance.
        """
        wanted = tuple(names)
        return self.once(("group", wanted), lambda: self._group(wanted))

    def _group(self, names: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        key = np.zeros(self.size, dtype=np.int64)
        for name in names:
            col = self.columns.get(name)
            if col is None:
                continue
            width = int(col.codes.max(initial=0)) + 1
            if int(key.max(initial=0)) > (2**62) // width:
                key = np.unique(key, return_inverse=True)[1].astype(np.int64)
            key = key * width + col.codes
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return rank[inverse.reshape(-1)].astype(np.int64), first[order].astype(np.int64)


def concat_tables(tables: Sequence[LabelTable]) -> LabelTable:
    """Stack tables; columns whose dictionaries are the same object keep their codes, others are recoded."""
    if len(tables) == 1:
        return tables[0]
    size = sum(t.size for t in tables)
    columns: dict[str, LabelColumn] = {}
    for name in dict.fromkeys(name for t in tables for name in t.columns):
        parts = [t.columns.get(name) for t in tables]
        values, codes = recode([p for p in parts if p is not None])
        found = iter(codes)
        stacked = [
            np.zeros(t.size, dtype=np.int32) if part is None else next(found)
            for t, part in zip(tables, parts, strict=True)
        ]
        columns[name] = LabelColumn(np.concatenate(stacked), values)
    return LabelTable(size, columns)


def recode(columns: Sequence[LabelColumn]) -> tuple[Sequence[str], list[Codes]]:
    """Bring columns onto one dictionary, so that equal codes mean equal strings.

    Returns:
        ``(values, codes)``: the common dictionary and each column's codes in it.
    """
    first = columns[0].values
    if all(col.values is first for col in columns):
        return first, [col.codes for col in columns]
    index: dict[str, int] = {"": 0}
    out = []
    for col in columns:
        used, inverse = np.unique(col.codes, return_inverse=True)
        codes = [index.setdefault(col.values[code], len(index)) for code in used.tolist()]
        out.append(np.array(codes, dtype=np.int32)[inverse.reshape(-1)])
    return list(index), out
