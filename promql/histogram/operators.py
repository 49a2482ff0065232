"""Binary operators where a side holds histograms."""

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from model.histogram.pool import GAUGE, HistogramColumn, HistogramPool, Int32s, concat_pools
from model.histogram.resets import is_equal
from model.samples import Bools, Floats
from promql import ast
from promql.annotations import Annotations
from promql.block import Index
from promql.histogram.arithmetic import combine, divided, scaled
from promql.histogram.trim import trimmed_above, trimmed_below
from promql.text import quote

_INCOMPATIBLE = "incompatible sample types encountered for binary operator "


class Side(Struct, frozen=True):
    """One side of an operation, element by element.

    Attributes:
        values: float64, shape (n, T) (or broadcasting to it).
        hist: Histograms at the same places; None if there are none.
    """

    values: Floats
    hist: HistogramColumn | None

    def is_hist(self, shape: tuple[int, ...]) -> Bools:
        """Tell where there is a histogram."""
        if self.hist is None:
            return np.zeros(shape, dtype=bool)
        return np.broadcast_to(self.hist.index >= 0, shape)


class Note(Struct, frozen=True):
    """Something to be said about some elements (n, T); a warning or an info."""

    where: Bools
    text: str
    warning: bool = False


def say_last(node: ast.Binary, notes: list[tuple[Note, Index]], annotations: Annotations) -> None:
    """Say of each step only what is to be said of its last element, as Prometheus does.

    Args:
        node: The operation.
        notes: Each with the place of its rows in the order of evaluation, shape (n,).
        annotations: Where it is said.
    """
    if not notes:
        return
    places = [
        np.where(note.where, order[:, None], -1).max(axis=0, initial=-1) for note, order in notes
    ]
    last = np.max(places, axis=0)
    for (note, _), place in zip(notes, places, strict=True):
        if ((place == last) & (place >= 0)).any():
            (annotations.warn if note.warning else annotations.info)(note.text, node)


class Operands(Struct, frozen=True):
    """What an operation on histograms is given: both sides, and the places (n, T) it is about."""

    node: ast.Binary
    left: Side
    right: Side
    where: Bools


class Outcome(Struct):
    """What came of an operation.

    Attributes:
        index: int32, shape (n, T): rows in the pools put together, -1 for none.
        present: bool, shape (n, T): where there is anything.
        pools: Histograms, in order.
        numbers: float64, shape (n, T): floats that came of histograms.
        failed: bool, shape (n, T): where the operation is not possible.
        notes: What is to be said.
    """

    index: Int32s
    present: Bools
    pools: list[HistogramPool]
    numbers: Floats
    failed: Bools
    notes: list[Note]

    def put(self, where: Bools, pool: HistogramPool) -> None:
        """Set results, in row order of ``where``."""
        before = sum(p.size for p in self.pools)
        self.index[where] = np.arange(before, before + pool.size, dtype=np.int32)
        self.present |= where
        self.pools.append(pool)

    def column(self) -> HistogramColumn | None:
        """Return the histograms."""
        return HistogramColumn(self.index, concat_pools(self.pools)) if self.pools else None


def operate_histograms(node: ast.Binary, left: Side, right: Side, present: Bools) -> Outcome:
    """Work out the elements of which at least one side is a histogram.

    The result of a comparison is the left side's histogram where it holds.
    """
    shape = present.shape
    lh, rh = left.is_hist(shape) & present, right.is_hist(shape) & present
    index = np.full(shape, -1, dtype=np.int32)
    none = np.zeros(shape, dtype=bool)
    out = Outcome(index, none, [], np.zeros(shape), none.copy(), [])
    for kinds, where in (
        ("float histogram", ~lh & rh),
        ("histogram float", lh & ~rh & present),
        ("histogram histogram", lh & rh),
        ("float float", ~lh & ~rh & present),
    ):
        if not where.any():
            continue
        run = _TABLE.get((kinds, node.op))
        if run is None:
            if kinds == "float float" and node.op not in ("</", ">/"):
                continue
            one, other = kinds.split()
            text = f"{_INCOMPATIBLE}{quote(node.op)}: {one} {node.op} {other}"
            out.notes.append(Note(where, text))
            out.failed |= where
            continue
        run(Operands(node, left, right, where), out)
    return out


def _pool(side: Side, where: Bools) -> HistogramPool:
    assert side.hist is not None
    index = np.broadcast_to(side.hist.index, where.shape)
    return side.hist.pool.take(index[where])


def _floats(side: Side, where: Bools) -> Floats:
    return np.broadcast_to(side.values, where.shape)[where]


Run = Callable[[Operands, Outcome], None]


def _multiply(it: Operands, out: Outcome) -> None:
    on_left = it.left.is_hist(it.where.shape)[it.where].all()
    histogram, number = (it.left, it.right) if on_left else (it.right, it.left)
    out.put(it.where, scaled(_pool(histogram, it.where), _floats(number, it.where)))


def _with_number(change: Callable[[HistogramPool, Floats], HistogramPool]) -> Run:
    def run(it: Operands, out: Outcome) -> None:
        out.put(it.where, change(_pool(it.left, it.where), _floats(it.right, it.where)))

    return run


def _add(it: Operands, out: Outcome) -> None:
    minus = it.node.op == "-"
    done = combine(_pool(it.left, it.where), _pool(it.right, it.where), -1.0 if minus else 1.0)
    what = "subtraction" if minus else "addition"

    def say(rows: Bools, text: str, *, warning: bool) -> Bools:
        where = it.where.copy()
        where[it.where] = rows
        if rows.any():
            out.notes.append(Note(where, text, warning))
        return where

    layout = f"incompatible bucket layout encountered for binary operator {it.node.op}"
    out.failed |= say(~done.possible, layout, warning=True)
    clash = f"conflicting counter resets during histogram {what}"
    out.failed |= say(done.collision, clash, warning=True)
    good = done.possible & ~done.collision
    mended = f"mismatched custom buckets were reconciled during {what}"
    say(done.reconciled & good, mended, warning=False)
    if minus:
        done.pool.hint[:] = GAUGE
    kept = it.where.copy()
    kept[it.where] = good
    out.put(kept, done.pool.take(good))


def _compare(*, equal: bool) -> Run:
    def run(it: Operands, out: Outcome) -> None:
        pool = _pool(it.left, it.where)
        holds = is_equal(pool, _pool(it.right, it.where)) == equal
        if it.node.return_bool:
            out.numbers[it.where] = holds
            out.present |= it.where
            return
        kept = it.where.copy()
        kept[it.where] = holds
        out.put(kept, pool.take(holds))

    return run


_TABLE: dict[tuple[str, str], Run] = {
    ("float histogram", "*"): _multiply,
    ("histogram float", "*"): _multiply,
    ("histogram float", "/"): _with_number(divided),
    ("histogram float", "</"): _with_number(trimmed_above),
    ("histogram float", ">/"): _with_number(trimmed_below),
    ("histogram histogram", "+"): _add,
    ("histogram histogram", "-"): _add,
    ("histogram histogram", "=="): _compare(equal=True),
    ("histogram histogram", "!="): _compare(equal=False),
}
