"""The lane seen as panels: its runs joined in time, so that a query meets few pieces of each series."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from model.samples import no_samples
from storage.interface import Group, Refs
from storage.tsdb.lane import LaneView, Run
from storage.tsdb.panel import Closed, Panel, run_panels
from storage.tsdb.samples import concat
from storage.tsdb.side_by_side import lay_out

_LONG_AGO: Final = -(2**62)  # before the first sample of a shorter row


class LanePanels:
    """Panels of what the lane holds; those of its runs stay until it has other runs."""

    def __init__(self) -> None:
        self._view: tuple[LaneView | None, tuple[Panel, ...]] = (None, ())
        self._runs: tuple[tuple[Run, ...], tuple[Panel, ...]] = ((), ())

    def of(self, view: LaneView) -> tuple[Panel, ...]:
        """Return the panels; later ones win."""
        known, panels = self._view
        if known is view:
            return panels
        panels = self._of_runs(view.runs)
        if view.waiting:
            panels += run_panels(Run.of(concat(list(view.waiting))))
        self._view = (view, panels)
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
    if len(panels) < 2 or any(isinstance(panel, Closed) for panel in panels):
        return tuple(panels)
    refs = np.unique(np.concatenate([panel.refs for panel in panels]))
    laid = lay_out(len(refs), [panel.whole(refs) for panel in panels])
    if laid is None:
        return tuple(panels)
    alike: dict[int, list[Group]] = {}
    for group in laid[1]:
        alike.setdefault((group.values.shape[1] - 1).bit_length(), []).append(group)
    return tuple(_stacked(refs, groups) for groups in alike.values())


def _stacked(refs: Refs, groups: Sequence[Group]) -> Panel:
    """Put groups of like length below one another, so that they end in the same column."""
    width = max(group.values.shape[1] for group in groups)
    values = no_samples((sum(len(group.rows) for group in groups), width))
    ts_ms = np.full((sum(len(group.ts_ms) for group in groups), width), _LONG_AGO, dtype=np.int64)
    ts_row = []
    row = time = 0
    for group in groups:
        ts_row.append(group.ts_row + np.int32(time))
        skip = width - group.values.shape[1]
        values[row : row + len(group.rows), skip:] = group.values
        ts_ms[time : time + len(group.ts_ms), skip:] = group.ts_ms
        row, time = row + len(group.rows), time + len(group.ts_ms)
    order = np.concatenate([group.rows for group in groups])
    dense = all(group.dense for group in groups)
    return Panel(refs[order], ts_ms, np.concatenate(ts_row), values, dense=dense)
