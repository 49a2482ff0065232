"""All series the store knows: label codes per name, and postings.

A series is a number (its *ref*). Its labels are one int32 code per label name; a dictionary behind
the codes only grows, so that a ``LabelTable`` can refer to it without copying. Refs and codes of
series that are gone for long are given away again (``release``, ``recycle``): a dictionary is
replaced then, and a ref's *handle*, which is what leaves the store, is another than before.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from model.labels import METRIC_NAME, LabelColumn, Labels, LabelTable, Matcher, MatchOp
from storage.interface import Refs
from storage.tsdb.growable import Growable
from storage.tsdb.handles import Handles
from storage.tsdb.labelindex import LabelIndex
from storage.tsdb.limits import SeriesLimits, Target
from storage.tsdb.patterns import Verdicts, is_plain_equal, literals

Hashes = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.int32]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_KEPT_VERDICTS = 256
_FEW_GONE = 1024  # series that are gone are kept while they are so few ...
_FEW_PART = 8  # ... or this part of those that are there
_TARGET = ("job", "instance")  # what tells one target from another


class SeriesIndex:
    """Series by labels and labels by series. All methods may be called from any thread.

    Attributes:
        limits: How many series there may be, and who was refused.
        handles: What refs are called outside of the store.
        size: Refs are less than this.
        generation: Rises when other series are found than before.
        recycled: Rises when refs are given to other series.
    """

    def __init__(self, limits: SeriesLimits) -> None:
        self.limits = limits
        self._lock = threading.RLock()
        self._names: dict[str, LabelIndex] = {}
        self._by_hash: dict[int, int] = {}
        self._hashes: Growable[np.uint64] = Growable(np.uint64)
        self._label_counts: Growable[np.int32] = Growable(np.int32)
        self._live = BitMap()
        self._alive: Growable[np.bool_] = Growable(np.bool_, fill=False)
        self._verdicts: dict[tuple[str, MatchOp, str], Verdicts] = {}
        self._collided = False
        self._free: Refs = np.empty(0, dtype=np.int64)
        self._unused = BitMap()
        self._released = BitMap()  # and not recycled yet
        self.handles = Handles()
        self.size = 0
        self.generation = 0
        self.recycled = 0

    @property
    def live(self) -> int:
        """Number of series that can be found."""
        return len(self._live)

    def intern(self, labels: Sequence[Labels]) -> Refs:
        """Return the ref of each label set, making those that are new.

        Raises:
            StorageError: If the limit of series is reached.
        """
        with self._lock:
            columns: dict[str, list[int]] = {}
            for row, one in enumerate(labels):
                for name, value in one:
                    column = columns.get(name)
                    if column is None:
                        column = columns[name] = [0] * len(labels)
                    column[row] = self._name(name).encode(value)
            return self._resolve(
                {n: np.array(c, dtype=np.int32) for n, c in columns.items()}, len(labels)
            )

    def intern_table(self, table: LabelTable) -> Refs:
        """Return the ref of each row of a table of what is stored already; no step per series, no limit.

        The strings of its dictionaries must all occur in it.
        """
        with self._lock:
            columns: dict[str, Codes] = {}
            for name, col in table.columns.items():
                encode = self._name(name).encode
                codes = np.array([encode(value) for value in col.values], dtype=np.int32)
                columns[name] = codes[col.codes]
            return self._resolve(columns, table.size, limited=False)

    def table(self, refs: npt.NDArray[np.integer]) -> LabelTable:
        """Return the labels of some series; the dictionaries are shared, not copied."""
        columns = {}
        with self._lock:
            names = list(self._names.items())
        for name, label in names:
            codes = label.codes.data[refs] if len(label.codes.data) else label.codes.data
            if codes.any():
                columns[name] = LabelColumn(codes, label.values)
        return LabelTable(len(refs), columns)

    def select(self, matchers: Sequence[Matcher]) -> Refs:
        """Return the refs of the series that pass all matchers, rising.

        Raises:
            QueryError: If a regular expression is not valid RE2.
        """
        with self._lock:
            found = self._equals([m for m in matchers if is_plain_equal(m)])
            for matcher in matchers:
                if not is_plain_equal(matcher):
                    found = self._narrow(found, matcher)
            return np.asarray(found.to_array()).astype(np.int64)

    def metric_codes(self, refs: Refs) -> Codes:
        """Return the code of each series' metric name."""
        with self._lock:
            return self._name(METRIC_NAME).codes.data[refs]

    def values(self, name: str, refs: Refs) -> list[str]:
        """Return the sorted values of one label among some series, "" left out."""
        with self._lock:
            label = self._names.get(name)
            if label is None:
                return []
            used = np.unique(label.codes.data[refs])
            return sorted(label.values[code] for code in used.tolist() if code)

    def names(self, refs: Refs) -> list[str]:
        """Return the sorted label names that occur among some series."""
        with self._lock:
            return sorted(n for n, lab in self._names.items() if lab.codes.data[refs].any())

    def cardinality(self) -> dict[str, int]:
        """Return the number of distinct values of each label name among live series."""
        with self._lock:
            return {n: sum(map(bool, lab.postings[1:])) for n, lab in self._names.items()}

    def counts(self) -> Iterator[tuple[str, list[tuple[str, int]]]]:
        """Yield each label name with the values that live series have, and how many series have each."""
        with self._lock:
            names = [
                (name, label.values, list(label.postings)) for name, label in self._names.items()
            ]
        for name, values, postings in names:
            counts = [(v, len(p)) for v, p in zip(values, postings, strict=False) if v and p]
            if counts:
                yield name, counts

    def series_by_metric(self) -> dict[str, int]:
        """Return the number of live series of each metric."""
        with self._lock:
            label = self._names.get(METRIC_NAME)
            if label is None:
                return {}
            return {v: len(p) for v, p in zip(label.values, label.postings, strict=True) if v and p}

    def forget(self, keep: Sequence[Refs]) -> int:
        """Let all series but these be found no more, and return how many went.

        Their refs stay theirs: a series that comes back, by its labels or by ``revive``, is the
        same as before.
        """
        with self._lock:
            alive = np.zeros(self.size, dtype=np.bool_)
            for refs in keep:
                alive[refs] = True
            gone = np.flatnonzero(self._alive.data[: self.size] & ~alive)
            if len(gone):
                self._alive.data[gone] = False
                self._live -= BitMap(gone.astype(np.uint32))
                self._post(gone, add=False)
            return len(gone)

    def release(self, keep: Sequence[Refs]) -> Refs:
        """Take the identity from series that were not found when this was called last, and are not now.

        Their handles are not good any more, and who comes with their labels gets another ref. The
        refs themselves may still be in the hands of readers; ``recycle`` them when those are done.

        Args:
            keep: Series that must not go.
        """
        with self._lock:
            idle = BitMap(np.arange(self.size, dtype=np.uint32)) - self._live
            idle -= BitMap(self._free.astype(np.uint32)) | self._released
            for refs in keep:
                idle -= BitMap(refs.astype(np.uint32))
            gone = np.asarray((idle & self._unused).to_array()).astype(np.int64)
            self._unused = idle
            if self._collided or len(gone) < max(_FEW_GONE, self.live // _FEW_PART):
                return np.empty(0, dtype=np.int64)
            for key in self._hashes.data[gone].tolist():
                del self._by_hash[key]
            self._hashes.data[gone] = 0
            self._released |= BitMap(gone.astype(np.uint32))
            self._unused -= self._released
            self.handles.end(gone)
            return gone

    def recycle(self, refs: Refs) -> None:
        """Give released refs away again, and the label codes that only they had."""
        with self._lock:
            for label in self._names.values():
                label.recycle(refs, self.size)
            self._label_counts.data[refs] = 0
            self._verdicts.clear()
            self.generation += 1
            self.recycled += 1
            self._released -= BitMap(refs.astype(np.uint32))
            self._free = np.sort(np.concatenate([self._free, refs]))

    def revive(self, refs: Refs) -> None:
        """Let forgotten series be found again."""
        if self._alive.data[refs].all():
            return
        with self._lock:
            back = np.unique(refs[~self._alive.data[refs]])
            self._alive.data[back] = True
            self._live |= BitMap(back.astype(np.uint32))
            self._post(back, add=True)

    def _name(self, name: str) -> LabelIndex:
        label = self._names.get(name)
        if label is None:
            label = self._names[name] = LabelIndex(len(self._names))
            label.codes.reserve(max(self.size, len(self._hashes.data)))
        return label

    def _resolve(self, columns: Mapping[str, Codes], rows: int, *, limited: bool = True) -> Refs:
        numbered = {self._names[name].number: codes for name, codes in columns.items()}
        counts = np.zeros(rows, dtype=np.int32)
        for codes in columns.values():
            counts += codes != 0
        keys = row_hashes(numbered, rows)
        refs = np.full(rows, -1, dtype=np.int64)
        todo = np.arange(rows)
        while len(todo):
            known = np.fromiter(
                (self._by_hash.get(key, -1) for key in keys.tolist()), np.int64, len(todo)
            )
            if (known < 0).any():
                if limited:
                    self._check_limits(columns, keys, todo, known)
                known = self._create(columns, counts, keys, todo, known)
            same = self._label_counts.data[known] == counts[todo]
            for name, codes in columns.items():
                same &= self._names[name].codes.data[known] == codes[todo]
            self._collided |= not same.all()
            refs[todo[same]] = known[same]
            todo, keys = todo[~same], _mix(keys[~same] + _ODD)
        self.revive(refs)
        return refs

    def _check_limits(
        self,
        columns: Mapping[str, Codes],
        keys: Hashes,
        todo: npt.NDArray[np.intp],
        known: Refs,
    ) -> None:
        """Ask whether the series that ``known`` lacks may be made."""
        missing = np.flatnonzero(known < 0)
        _, first = np.unique(keys[missing], return_index=True)
        rows = todo[missing[first]]
        absent = np.zeros(len(rows), dtype=np.int32)
        codes = [columns[name][rows] if name in columns else absent for name in _TARGET]
        labels = [self._names.get(name) or LabelIndex(-1) for name in _TARGET]
        pairs, counts = np.unique(np.array(codes), axis=1, return_counts=True)
        fresh: dict[Target, int] = {}
        for (job, instance), series in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            target = labels[0].values[job], labels[1].values[instance]
            fresh[target] = series
            if any(target):
                used = zip(labels, (job, instance), strict=True)
                live = BitMap.intersection(*(lab.postings[code] for lab, code in used if code))
                self.limits.check_target(target, len(live), series)
        self.limits.check_all(len(self._live), fresh)

    def _create(
        self,
        columns: Mapping[str, Codes],
        counts: npt.NDArray[np.int32],
        keys: Hashes,
        todo: npt.NDArray[np.intp],
        known: Refs,
    ) -> Refs:
        """Make the series that ``known`` lacks and return ``known`` completed."""
        missing = np.flatnonzero(known < 0)
        fresh_keys, first, inverse = np.unique(
            keys[missing], return_index=True, return_inverse=True
        )
        order = np.argsort(first)  # refs in the order of appearance keep a layout's refs rising
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        again, self._free = np.split(self._free, [min(len(fresh_keys), len(self._free))])
        stop = self.size + len(fresh_keys) - len(again)
        fresh = np.concatenate([again, np.arange(self.size, stop, dtype=np.int64)])
        rows = todo[missing[first[order]]]
        self._hashes.reserve(stop)[fresh] = fresh_keys[order]
        self._label_counts.reserve(stop)[fresh] = counts[rows]
        for name, label in self._names.items():
            room = label.codes.reserve(stop)
            if name in columns:
                room[fresh] = columns[name][rows]
        self._by_hash.update(zip(fresh_keys[order].tolist(), fresh.tolist(), strict=True))
        self.size = stop
        self._live |= BitMap(fresh.astype(np.uint32))
        self._alive.reserve(stop)[fresh] = True
        self._post(fresh, add=True)
        known = known.copy()
        known[missing] = fresh[rank[inverse.reshape(-1)]]
        return known

    def _post(self, refs: Refs, *, add: bool) -> None:
        """Enter series into the postings, or take them out."""
        self.generation += 1
        for label in self._names.values():
            codes = label.codes.data[refs]
            order = np.argsort(codes, kind="stable")
            used, starts = np.unique(codes[order], return_index=True)
            parts = np.split(refs[order].astype(np.uint32), starts[1:]) if len(used) else []
            for code, part in zip(used.tolist(), parts, strict=True):
                if not code:
                    continue
                if add:
                    label.postings[code].update(part)
                else:
                    label.postings[code].difference_update(BitMap(part))

    def _equals(self, matchers: Sequence[Matcher]) -> BitMap:
        parts = []
        for matcher in matchers:
            label = self._names.get(matcher.name)
            if not label or not (code := label.code_of.get(matcher.value, 0)):
                return BitMap()
            parts.append(label.postings[code])
        return BitMap.intersection(*parts) if parts else self._live.copy()

    def _narrow(self, found: BitMap, matcher: Matcher) -> BitMap:
        verdicts = self._verdicts_of(matcher)
        label = self._names.get(matcher.name)
        if label is None:
            return found if verdicts.accepts_missing else BitMap()
        if matcher.op is MatchOp.REGEX:
            words = literals(matcher.value)
            if words is not None and "" not in words:
                codes: Iterable[int] = (label.code_of.get(word, 0) for word in words)
                return found & _union(label.postings, [code for code in codes if code])
        if len(found) * 4 < len(label.values):
            refs = np.asarray(found.to_array())
            passed = verdicts.some(label.codes.data[refs], label.values)
            return BitMap(refs[passed])
        good = verdicts.all(label.values)
        good[0] = verdicts.accepts_missing
        if verdicts.accepts_missing:
            return found - _union(label.postings, np.flatnonzero(~good).tolist())
        return found & _union(label.postings, np.flatnonzero(good).tolist())

    def _verdicts_of(self, matcher: Matcher) -> Verdicts:
        key = (matcher.name, matcher.op, matcher.value)
        verdicts = self._verdicts.pop(key, None) or Verdicts(matcher)
        self._verdicts[key] = verdicts  # at the end: the first one is the longest unused
        if len(self._verdicts) > _KEPT_VERDICTS:
            del self._verdicts[next(iter(self._verdicts))]
        return verdicts


def row_hashes(columns: Mapping[int, Codes], rows: int) -> Hashes:
    """Return a hash of each row of codes; absent labels (code 0) do not count."""
    total = np.zeros(rows, dtype=np.uint64)
    for number, codes in columns.items():
        cell = _mix((codes.astype(np.uint64) | np.uint64(number << 32)) + _ODD)
        cell[codes == 0] = 0
        total += cell
    return _mix(total)


def _mix(x: Hashes) -> Hashes:
    """Scramble 64-bit words (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_A
    x = (x ^ (x >> np.uint64(27))) * _MIX_B
    return x ^ (x >> np.uint64(31))


def _union(postings: Sequence[BitMap], codes: Sequence[int]) -> BitMap:
    if not codes:
        return BitMap()
    return BitMap.union(*(postings[code] for code in codes))
