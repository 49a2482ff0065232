"""Samples with their own timestamps, and late ones: columns of (ref, time, value), sorted in steps.

New samples wait in arrival order; when enough wait they become a *run* sorted by ref and time, and
runs of like size are merged, so that a sample is moved a handful of times. What arrived later wins.
"""

import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from model.samples import Floats, Ints
from storage.interface import Refs

_WAITING: Final = 65_536
_FAN: Final = 4  # runs of like size that are merged into one
_TIME_BITS: Final = 40  # 34 years of ms; together with 2**23 refs they fit into one sort key
_TIME_ROOM: Final = 1 << _TIME_BITS
_REF_ROOM: Final = 1 << 23


@dataclass(frozen=True, slots=True)
class Triples:
    """Samples as three columns of equal length; the first may be refs or positions."""

    refs: npt.NDArray[np.int64]
    ts_ms: Ints
    values: Floats

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.refs)

    def take(self, where: npt.NDArray[np.integer | np.bool_]) -> "Triples":
        """Return the samples at an index array or mask."""
        return Triples(self.refs[where], self.ts_ms[where], self.values[where])


def concat(parts: list[Triples]) -> Triples:
    """Put samples behind one another."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Triples(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Triples(
        np.concatenate([p.refs for p in parts]),
        np.concatenate([p.ts_ms for p in parts]),
        np.concatenate([p.values for p in parts]),
    )


def settle(samples: Triples) -> Triples:
    """Sort by ref and time; of samples with the same ref and time the last one stays."""
    if not samples.size:
        return samples
    refs, ts = samples.refs, samples.ts_ms
    first = int(ts.min())
    if int(ts.max()) - first < _TIME_ROOM and int(refs.max()) < _REF_ROOM:
        key = (refs << _TIME_BITS) + (ts - first)
        if (key[1:] > key[:-1]).all():
            return samples
        order = np.argsort(key, kind="stable")  # merges what is sorted in parts already
        key = key[order]
        last = np.append(key[1:] != key[:-1], True)
    else:
        order = np.lexsort((ts, refs))
        refs, ts = refs[order], ts[order]
        last = np.append((refs[1:] != refs[:-1]) | (ts[1:] != ts[:-1]), True)
    return samples.take(order if last.all() else order[last])


@dataclass(frozen=True, slots=True)
class Run:
    """Settled samples with an index.

    Attributes:
        samples: Sorted by ref and time, each pair once.
        refs: int64, shape (n,), rising: the series in it.
        starts: int64, shape (n + 1,): where each series begins.
    """

    samples: Triples
    refs: Refs
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, samples: Triples) -> "Run":
        """Build from settled samples."""
        refs, starts = groups_of(samples.refs)
        return cls(samples, refs, starts)

    def pick(self, lookup: npt.NDArray[np.int32], mint: int, maxt: int) -> Triples:
        """Return the samples of wanted series in the range; ``refs`` of the answer are positions."""
        known = self.refs[: np.searchsorted(self.refs, len(lookup))]
        hit = np.flatnonzero(lookup[known] >= 0)
        where = ranges(self.starts[hit], self.starts[hit + 1])
        found = self.samples.take(where)
        return _positions(found, lookup, mint, maxt)


def groups_of(refs: Refs) -> tuple[Refs, npt.NDArray[np.int64]]:
    """Return the distinct refs of a sorted column, and where each begins, the end included."""
    edges = np.flatnonzero(refs[1:] != refs[:-1]) + 1
    starts = np.zeros(len(edges) + 1 + bool(len(refs)), dtype=np.int64)
    starts[1 : len(edges) + 1] = edges
    starts[-1] = len(refs)
    return refs[starts[:-1]], starts


def ranges(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return all indices of some half-open ranges, one range after the other."""
    sizes = stops - starts
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    shifts: npt.NDArray[np.int64] = np.repeat(starts - (ends - sizes), sizes)
    shifts += np.arange(total)
    return shifts


def _positions(found: Triples, lookup: npt.NDArray[np.int32], mint: int, maxt: int) -> Triples:
    keep = (found.ts_ms >= mint) & (found.ts_ms <= maxt)
    if not keep.all():
        found = found.take(keep)
    return Triples(lookup[found.refs].astype(np.int64), found.ts_ms, found.values)


@dataclass(frozen=True, slots=True)
class LaneView:
    """What the lane held at one moment; for readers."""

    runs: tuple[Run, ...]
    waiting: tuple[Triples, ...]

    def pick(self, lookup: npt.NDArray[np.int32], mint: int, maxt: int) -> list[Triples]:
        """Return wanted samples, oldest arrival first; ``refs`` of the answer are positions."""
        parts = [run.pick(lookup, mint, maxt) for run in self.runs]
        if self.waiting:
            all_waiting = concat(list(self.waiting))
            known = all_waiting.refs < len(lookup)
            hit = np.zeros(len(known), dtype=np.bool_)
            hit[known] = lookup[all_waiting.refs[known]] >= 0
            parts.append(_positions(all_waiting.take(hit), lookup, mint, maxt))
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
        self._waiting: tuple[Triples, ...] = ()
        self._waits = 0
        self._view = LaneView((), ())
        self.size = 0
        self.since_ms = 0

    def view(self) -> LaneView:
        """Return what is there now."""
        return self._view

    def add(self, samples: Triples, now_ms: int) -> None:
        """Take samples; they win over all that came before."""
        with self._lock:
            if not self.size:
                self.since_ms = now_ms
            self._waiting += (samples,)
            self._waits += samples.size
            if self._waits >= _WAITING or len(self._waiting) >= 1024:
                self.tidy()
            self._publish()

    def withdraw(self, samples: Triples) -> None:
        """Take samples back that could not be made durable, if they still wait."""
        with self._lock:
            left = tuple(s for s in self._waiting if s is not samples)
            if len(left) < len(self._waiting):
                self._waiting = left
                self._waits -= samples.size
                self._publish()

    def tidy(self) -> None:
        """Sort what waits into a run and merge runs of like size."""
        with self._lock:
            if not self._waiting:
                return
            runs = [*self._runs, Run.of(settle(concat(list(self._waiting))))]
            while len(runs) >= _FAN and _level(runs[-_FAN]) <= _level(runs[-1]):
                last = [run.samples for run in runs[-_FAN:]]
                runs[-_FAN:] = [Run.of(settle(concat(last)))]
            self._runs, self._waiting, self._waits = tuple(runs), (), 0
            self._publish()

    def freeze(self) -> Triples:
        """Return everything, settled; it stays to be read until ``release``."""
        with self._lock:
            self.tidy()
            self._frozen, self._runs = (*self._frozen, *self._runs), ()
            self._publish()
            return settle(concat([run.samples for run in self._frozen]))

    def release(self, now_ms: int) -> None:
        """Forget what was frozen."""
        with self._lock:
            self._frozen = ()
            self.since_ms = now_ms
            self._publish()

    def erase(self, gone: npt.NDArray[np.bool_], mint: int, maxt: int) -> None:
        """Take the samples of some series (a mask over refs) in [mint, maxt] away."""
        with self._lock:

            def left(samples: Triples) -> Triples:
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
        self._view = LaneView(runs, self._waiting)


def _level(run: Run) -> int:
    """Return how many times a run was merged, judged by its size."""
    return max(0, int(np.log2(run.samples.size / _WAITING) / np.log2(_FAN) + 0.5))
