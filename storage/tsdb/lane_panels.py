"""The lane seen as panels: its runs joined in time, so that a query meets few pieces of each series."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from model.samples import no_samples
from model.steady import made_steady
from storage.interface import Refs
from storage.tsdb.lane import LaneView, Run
from storage.tsdb.panel import Closed, Panel
from storage.tsdb.parts import Cells, Part
from storage.tsdb.pools import settled
from storage.tsdb.run_panels import run_panels
from storage.tsdb.samples import concat
from storage.tsdb.side_by_side import lay_out
from storage.tsdb.stack import Stack

_LONG_AGO: Final = -(2**63) + 1  # before the first sample of a shorter row, and before any query


class LanePanels:
    """Panels of what the lane holds; those of its runs stay until it has other runs."""

    def __init__(self) -> None:
        self._view: tuple[LaneView | None, tuple[Panel, ...], bool] = (None, (), False)
        self._runs: tuple[tuple[Run, ...], tuple[Panel, ...]] = ((), ())

    def of(self, view: LaneView) -> tuple[Panel, ...]:
        """Return the panels; later ones win.

        Histograms that wait lie in many small pools. Who asks for the first time picks what is wanted
        out of these; whoever asks again before others came finds all of them in one.
        """
        known, panels, again = self._view
        if known is view:
            if again:
                panels = _joined(panels)
                self._view = (view, panels, False)
            return panels
        panels, again = self._of_runs(view.runs), False
        if view.waiting:
            waiting = run_panels(Run.of(concat(list(view.waiting))))
            again = any(panel.holds_histograms for panel in waiting)
            panels += waiting
        self._view = (view, panels, again)
        return panels

    def _of_runs(self, runs: tuple[Run, ...]) -> tuple[Panel, ...]:
        known, panels = self._runs
        if len(known) == len(runs) and all(a is b for a, b in zip(known, runs, strict=True)):
            return panels
        panels = _joined([panel for run in runs for panel in run_panels(run)])
        self._runs = (runs, panels)
        return panels


def _joined(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """Put panels side by side where their series do not overlap in time; else leave them as they are."""
    if any(isinstance(panel, Closed) for panel in panels):
        return tuple(panels)
    if len(panels) < 2 and not any(panel.holds_histograms for panel in panels):
        return tuple(panels)
    refs = np.unique(np.concatenate([panel.refs for panel in panels]))
    laid = lay_out(len(refs), [panel.whole(refs) for panel in panels])
    if laid is None:
        return tuple(panels)
    alike: dict[tuple[int, bool, int], list[Part]] = {}
    for part in laid:
        length = (part.values.shape[1] - 1).bit_length()
        for level, some in _by_level(part):
            key = length, part.cells.start_ms is not None, level
            alike.setdefault(key, []).append(some)
    return tuple(_stacked(refs, parts) for parts in alike.values())


def _by_level(part: Part) -> Iterator[tuple[int, Part]]:
    """Yield the series of a part by the level of their widest histogram, so that none makes others wide; 0 if floats."""
    if part.cells.histograms is None:
        yield 0, part
        return
    levels = part.cells.histograms.levels.max(axis=1)
    for level in np.unique(levels).tolist():
        yield level, part.take(np.flatnonzero(levels == level))


def _stacked(refs: Refs, parts: Sequence[Part]) -> Panel:
    """Put parts of like length below one another, so that they end in the same column."""
    width = max(part.values.shape[1] for part in parts)
    shape = (sum(len(part.pos) for part in parts), width)
    values = no_samples(shape)
    ts_ms = np.full((sum(len(part.ts_ms) for part in parts), width), _LONG_AGO, dtype=np.int64)
    start = histograms = None
    if parts[0].cells.start_ms is not None:
        start = np.zeros(shape, dtype=np.int64)
    if parts[0].cells.histograms is not None:
        index = np.full(shape, -1, dtype=np.int32)
        histograms = Stack(index, parts[0].cells.histograms.pools)
    ts_row = []
    row = time = 0
    for part in parts:
        ts_row.append(part.ts_row + np.int32(time))
        skip = width - part.values.shape[1]
        rows = slice(row, row + len(part.pos))
        values[rows, skip:] = part.values
        if start is not None and part.cells.start_ms is not None:
            start[rows, skip:] = part.cells.start_ms
            start[rows, :skip] = part.cells.start_ms[:, :1]  # nobody looks there
        if histograms is not None and part.cells.histograms is not None:
            histograms.index[rows, skip:] = part.cells.histograms.index
        ts_ms[time : time + len(part.ts_ms), skip:] = part.ts_ms
        row, time = rows.stop, time + len(part.ts_ms)
    order = np.concatenate([part.pos for part in parts])
    cells = Cells(
        values,
        all(part.dense for part in parts),
        None if start is None else made_steady(start),
        None if histograms is None else settled(values, histograms),
    )
    return Panel(refs[order], ts_ms, np.concatenate(ts_row), cells)
