"""Samples with their own timestamps, and late ones: columns, sorted in steps.

New samples wait in arrival order; when enough wait they become a *run* sorted by ref and time, and
runs of like size are merged, so that a sample is moved a handful of times. What arrived later wins.
"""

import threading
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from storage.interface import Refs
from storage.tsdb.samples import (
    Samples,
    concat,
    groups_of,
    ranges,
    settle,
)

_WAITING: Final = 65_536
_FAN: Final = 4  # runs of like size that are merged into one


class Run(Struct, frozen=True):
    """Settled samples with an index.

    Attributes:
        samples: Sorted by ref and time, each pair once.
        refs: int64, shape (n,), rising: the series in it.
        starts: int64, shape (n + 1,): where each series begins.
    """

    samples: Samples
    refs: Refs
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, samples: Samples) -> "Run":
        """Build from samples in any order."""
        settled = settle(samples)
        refs, starts = groups_of(settled.refs)
        return cls(settled, refs, starts)

    def pick(self, lookup: npt.NDArray[np.int32], mint: int, maxt: int) -> Samples:
        """Return the samples of wanted series in the range; ``refs`` of the answer are positions."""
        known = self.refs[: np.searchsorted(self.refs, len(lookup))]
        hit = np.flatnonzero(lookup[known] >= 0)
        where = ranges(self.starts[hit], self.starts[hit + 1])
        found = self.samples.take(where)
        return _positions(found, lookup, mint, maxt)


def _positions(found: Samples, lookup: npt.NDArray[np.int32], mint: int, maxt: int) -> Samples:
    keep = (found.ts_ms >= mint) & (found.ts_ms <= maxt)
    if not keep.all():
        found = found.take(keep)
    return replace(found, refs=lookup[found.refs].astype(np.int64))


class LaneView(Struct, frozen=True):
    """What the lane held at one moment; for readers."""

    runs: tuple[Run, ...]
    waiting: tuple[Samples, ...]

    def pick(self, lookup: npt.NDArray[np.int32], mint: int, maxt: int) -> list[Samples]:
        """Return wanted samples, oldest arrival first; ``refs`` of the answer are positions."""
        parts = [run.pick(lookup, mint, maxt) for run in self.runs]
        if self.waiting:
            refs = np.concatenate([one.refs for one in self.waiting])
            known = refs < len(lookup)
            hit = np.zeros(len(known), dtype=np.bool_)
            hit[known] = lookup[refs[known]] >= 0
            found = concat(list(self.waiting)).take(hit)
            parts.append(_positions(found, lookup, mint, maxt))
        return [part for part in parts if part.size]

    def present(self, mint: int, maxt: int) -> Refs:
        """Return the refs of the series that have samples in the range; may name one twice."""
        parts = [run.samples for run in self.runs]
        parts.extend(self.waiting)
        empty = np.empty(0, np.int64)
        return np.concatenate(
            [empty, *(s.refs[(s.ts_ms >= mint) & (s.ts_ms <= maxt)] for s in parts)]
        )

    def span(self) -> tuple[int, int]:
        """Return the times of the oldest and the newest sample; the first is larger if there is none."""
        parts = [run.samples for run in self.runs]
        parts.extend(self.waiting)
        low = min((int(p.ts_ms.min()) for p in parts), default=2**63 - 1)
        return low, max((int(p.ts_ms.max()) for p in parts), default=-(2**63))


class Lane:
    """See the module. Has a lock of its own; ``view`` never waits."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._frozen: tuple[Run, ...] = ()
        self._runs: tuple[Run, ...] = ()
        self._waiting: tuple[Samples, ...] = ()
        self._waits = 0
        self._waiting_bytes = 0
        self._view = LaneView((), ())
        self.size = 0
        self.bytes = 0
        self.since_ms = 0

    def view(self) -> LaneView:
        """Return what is there now."""
        return self._view

    def add(self, samples: Samples, now_ms: int) -> None:
        """Take samples; they win over all that came before."""
        with self._lock:
            if not self.size:
                self.since_ms = now_ms
            self._waiting += (samples,)
            self._waits += samples.size
            self._waiting_bytes += samples.nbytes
            if self._waits >= _WAITING or len(self._waiting) >= 1024:
                self.tidy()
            self._publish()

    def withdraw(self, samples: Samples) -> None:
        """Take samples back that could not be made durable, if they still wait."""
        with self._lock:
            left = tuple(s for s in self._waiting if s is not samples)
            if len(left) < len(self._waiting):
                self._waiting = left
                self._waits -= samples.size
                self._waiting_bytes -= samples.nbytes
                self._publish()

    def tidy(self) -> None:
        """Sort what waits into a run and merge runs of like size."""
        with self._lock:
            if not self._waiting:
                return
            waiting = concat(list(self._waiting))
            if waiting.histograms is not None:
                waiting = replace(waiting, histograms=waiting.histograms.joined())
            runs = [*self._runs, Run.of(waiting)]
            while len(runs) >= _FAN and _level(runs[-_FAN]) <= _level(runs[-1]):
                last = [run.samples for run in runs[-_FAN:]]
                runs[-_FAN:] = [Run.of(concat(last))]
            self._runs, self._waiting = tuple(runs), ()
            self._waits = self._waiting_bytes = 0
            self._publish()

    def freeze(self) -> Samples:
        """Return everything, settled; it stays to be read until ``release``."""
        with self._lock:
            self.tidy()
            self._frozen, self._runs = (*self._frozen, *self._runs), ()
            self._publish()
            return self.frozen()

    def frozen(self) -> Samples:
        """Return what was frozen and not released."""
        with self._lock:
            return settle(concat([run.samples for run in self._frozen]))

    def release(self, now_ms: int) -> None:
        """Forget what was frozen."""
        with self._lock:
            self._frozen = ()
            self.since_ms = now_ms
            self._publish()

    def age_ms(self, now_ms: int) -> int:
        """Return how long the oldest sample has been here; after the clock went back it begins anew."""
        with self._lock:
            self.since_ms = min(self.since_ms, now_ms)
            return now_ms - self.since_ms

    def erase(self, gone: npt.NDArray[np.bool_], mint: int, maxt: int) -> None:
        """Take the samples of some series (a mask over refs) in [mint, maxt] away."""
        with self._lock:

            def left(samples: Samples) -> Samples:
                hit = (samples.ts_ms >= mint) & (samples.ts_ms <= maxt)
                hit &= gone[samples.refs]
                return samples.take(~hit) if hit.any() else samples

            def kept(runs: tuple[Run, ...]) -> tuple[Run, ...]:
                some = [(run, left(run.samples)) for run in runs]
                return tuple(r if r.samples is s else Run.of(s) for r, s in some if s.size)

            self.tidy()
            self._frozen, self._runs = kept(self._frozen), kept(self._runs)
            self._publish()

    def _publish(self) -> None:
        runs = (*self._frozen, *self._runs)
        self.size = sum(run.samples.size for run in runs) + self._waits
        self.bytes = sum(run.samples.nbytes for run in runs) + self._waiting_bytes
        self._view = LaneView(runs, self._waiting)


def _level(run: Run) -> int:
    """Return how many times a run was merged, judged by its size."""
    return max(0, int(np.log2(run.samples.size / _WAITING) / np.log2(_FAN) + 0.5))
