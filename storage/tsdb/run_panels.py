"""Runs of the lane as panels: series of one length and kind, seen from the side."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.samples import is_stale
from model.steady import made_steady
from storage.tsdb.lane import Run
from storage.tsdb.merge import distinct
from storage.tsdb.panel import Closed, Panel
from storage.tsdb.parts import Cells
from storage.tsdb.stack import Stack

_MOST_SHAPES: Final = 8  # of series in one run
_FEW_TIMES: Final = 8  # that are told apart
_STARTS, _HISTOGRAMS = 1, 2  # what a series has, in the number of its shape
_SHAPE_BITS: Final = 2


def run_panels(run: Run) -> tuple[Panel, ...]:
    """Return a run of the lane as panels."""
    shape_of = np.diff(run.starts) << _SHAPE_BITS | _kinds(run)
    shapes, members = np.unique(shape_of, return_counts=True)
    order = np.argsort(-members, kind="stable")
    kept = shapes[order[:_MOST_SHAPES]]
    panels = [one for shape in kept.tolist() for one in _of_shape(run, shape_of == shape, shape)]
    if len(kept) < len(shapes):
        rest = ~np.isin(shape_of, kept)
        ts_ms = run.samples.ts_ms
        panels.append(Closed(run.refs[rest], int(ts_ms.min()), int(ts_ms.max())))
    return tuple(panels)


def _kinds(run: Run) -> npt.NDArray[np.int64]:
    """Tell which series have histograms or start timestamps."""
    samples = run.samples
    odd = np.zeros(samples.size, dtype=np.int64)
    if samples.histograms is not None:
        odd[samples.histograms.index >= 0] |= _HISTOGRAMS
    if samples.start_ms is not None:
        odd[samples.start_ms != 0] |= _STARTS
    if not odd.any():
        return np.zeros(len(run.refs), dtype=np.int64)
    kinds: npt.NDArray[np.int64] = np.bitwise_or.reduceat(odd, run.starts[:-1])
    return kinds


def _of_shape(run: Run, which: npt.NDArray[np.bool_], shape: int) -> Iterator[Panel]:
    members, length = np.flatnonzero(which), shape >> _SHAPE_BITS
    first, last = int(members[0]), int(members[-1])
    where: Any
    if last - first + 1 == len(members):  # one behind the other: a view
        where = slice(int(run.starts[first]), int(run.starts[last + 1]))
    else:
        where = run.starts[members][:, None] + np.arange(length)

    def laid(column: Any) -> Any:
        return column[where].reshape(-1, length)

    samples = run.samples
    ts, values, start, stack = laid(samples.ts_ms), laid(samples.values), None, None
    if shape & _STARTS and samples.start_ms is not None:
        start = made_steady(laid(samples.start_ms))
    if shape & _HISTOGRAMS and samples.histograms is not None:
        stack = Stack(laid(samples.histograms.index), samples.histograms.pools)
    once, ts_row = distinct(ts)
    refs, gaps = run.refs[members], is_stale(values)
    dense = stack is None and not gaps.any()
    whole = Cells(values, dense, start, stack)
    if not 1 < len(once) <= _FEW_TIMES:
        yield Panel(refs, once, ts_row, whole)
        return
    for number in range(len(once)):  # senders beside one another: each at a time of its own
        mine = np.flatnonzero(ts_row == number)
        none = np.zeros(len(mine), dtype=np.int32)
        part = whole.cut(mine, slice(None))
        dense = stack is None and not gaps[mine].any()
        part = Cells(part.values, dense, part.start_ms, part.histograms)
        yield Panel(refs[mine], once[number : number + 1], none, part)
