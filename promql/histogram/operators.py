"""Binary operators where a side holds histograms."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.histogram.pool import GAUGE, HistogramColumn, HistogramPool, Int32s, concat_pools
from model.histogram.resets import is_equal
from model.samples import Bools, Floats
from promql import ast
from promql.annotations import Annotations
from promql.histogram.arithmetic import combine, divided, scaled
from promql.histogram.trim import trimmed_above, trimmed_below
from promql.text import quote

_INCOMPATIBLE = "incompatible sample types encountered for binary operator "


@dataclass(frozen=True, slots=True)
class Side:
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


@dataclass(frozen=True, slots=True)
class Operands:
    """What an operation on histograms is given: both sides, and the places (n, T) it is about."""

    node: ast.Binary
    left: Side
    right: Side
    where: Bools
    notes: Annotations


@dataclass(slots=True)
class Outcome:
    """What came of an operation.

    Attributes:
        index: int32, shape (n, T): rows in the pools put together, -1 for none.
        present: bool, shape (n, T): where there is anything.
        pools: Histograms, in order.
        numbers: float64, shape (n, T): floats that came of histograms.
    """

    index: Int32s
    present: Bools
    pools: list[HistogramPool]
    numbers: Floats

    def put(self, where: Bools, pool: HistogramPool) -> None:
        """Set results, in row order of ``where``."""
        before = sum(p.size for p in self.pools)
        self.index[where] = np.arange(before, before + pool.size, dtype=np.int32)
        self.present |= where
        self.pools.append(pool)

    def column(self) -> HistogramColumn | None:
        """Return the histograms."""
        return HistogramColumn(self.index, concat_pools(self.pools)) if self.pools else None


def operate_histograms(
    node: ast.Binary, left: Side, right: Side, present: Bools, annotations: Annotations
) -> Outcome:
    """Work out the elements of which at least one side is a histogram.

    The result of a comparison is the left side's histogram where it holds.
    """
    shape = present.shape
    lh, rh = left.is_hist(shape) & present, right.is_hist(shape) & present
    index = np.full(shape, -1, dtype=np.int32)
    out = Outcome(index, np.zeros(shape, dtype=bool), [], np.zeros(shape))
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
            annotations.info(text, node)
            continue
        run(Operands(node, left, right, where, annotations), out)
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
    if not done.possible.all():
        it.notes.warn(
            f"incompatible bucket layout encountered for binary operator {it.node.op}", it.node
        )
    if done.collision.any():
        it.notes.warn(f"conflicting counter resets during histogram {what}", it.node)
    if (done.reconciled & done.possible).any():
        it.notes.info(f"mismatched custom buckets were reconciled during {what}", it.node)
    if minus:
        done.pool.hint[:] = GAUGE
    kept = it.where.copy()
    kept[it.where] = done.possible
    out.put(kept, done.pool.take(done.possible))


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
