"""Going through segments: which row groups, in which order, read ahead by threads."""

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from storage.logdb.evaluate import Mask, columns_of, evaluate
from storage.logdb.frames import Frame, Frames, Index, UnreadableError
from storage.logdb.prune import expect, may_find
from storage.logdb.read import DamagedSegmentError, Lost, OpenSegment
from storage.logdb.recent import Window
from storage.logdb.segment import Group, Segment
from storage.logquery.nodes import And, Node

_OPEN: Final = 64  # segments of which footer and index are kept at hand
_LARGE: Final = frozenset({"message", "fields"})
_AHEAD: Final = 64  # row groups whose columns are asked of the disk at once
_IDLE_SECONDS: Final = 60.0


class Order(Struct, frozen=True):
    """An order of records: by which columns, in which direction, and where a segment or row group begins in it."""

    columns: tuple[str, ...]
    descending: bool
    begins: Callable[[Segment | Group], int]


class Walk:
    """Opens segments and hands out their row groups; may be used from any thread.

    Args:
        directory: Where the segments are.
        memory_bytes: For the row groups in use, and those kept.
        threads: That read ahead.
        lost: Told of what cannot be read.
    """

    def __init__(self, directory: Path, memory_bytes: int, threads: int, lost: Lost) -> None:
        self._directory = directory
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._lost = lost
        self._frames = Frames(memory_bytes)
        self._used_at = 0.0
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenSegment | None] = OrderedDict()

    def frame(self, opened: OpenSegment, number: int) -> AbstractContextManager[Frame]:
        """Hold a row group in memory."""
        return self._frames.frame(opened, number)

    def nearest(
        self,
        segments: Sequence[Segment],
        node: Node,
        order: Order,
        near: Callable[[Group], bool],
    ) -> Iterator[tuple[int, OpenSegment, int]]:
        """Yield row groups that may have what is looked for, those first that begin first, with where they begin.

        A few are read ahead of the one that is looked at.
        """
        sign = -1 if order.descending else 1
        may, wanted = may_find(node), sorted({*order.columns, *columns_of(node)})
        ticks = itertools.count()
        queue: list[Any] = [(sign * order.begins(s), next(ticks), s, None, 0) for s in segments]
        heapify(queue)
        ahead: deque[tuple[int, OpenSegment, int, Future[None] | None]] = deque()
        while queue:
            begins, _, segment, opened, number = heappop(queue)
            if opened is not None:
                if may(opened, number):
                    opened.prefetch([number], wanted)
                    loading = self._load(opened, number, wanted)
                    ahead.append((begins, opened, number, loading))
            elif opened := self._opened(segment):
                numbers = [number for number, group in enumerate(opened.groups) if near(group)]
                expect(node, opened, numbers)
                for number in numbers:
                    key = sign * order.begins(opened.groups[number])
                    heappush(queue, (key, next(ticks), segment, opened, number))
            while ahead and (len(ahead) > self._threads or not queue):
                begins, opened, number, loading = ahead.popleft()
                if loading is not None:
                    loading.result()
                yield begins, opened, number

    def found(
        self, segments: Sequence[Segment], node: Node, window: Window, columns: Sequence[str]
    ) -> Iterator[tuple[Frame, Index]]:
        """Yield every row group with what is found in it."""
        may = may_find(node)
        wanted = sorted({*columns, *columns_of(node)})
        quick = [name for name in wanted if name not in _LARGE]
        soon = quick if isinstance(node, And) else wanted  # texts may not be looked at, behind AND
        for segment in segments:
            opened = self._opened(segment) if overlaps(segment, window) else None
            if opened is None:
                continue
            near = [
                n for n, g in enumerate(opened.groups) if overlaps(g, window) and may(opened, n)
            ]
            ahead: deque[Future[None] | None] = deque()
            for at, number in enumerate(near):
                if at % _AHEAD == 0:
                    opened.prefetch(near[at : at + _AHEAD], wanted)
                while len(ahead) <= self._threads and at + len(ahead) < len(near):
                    following = near[at + len(ahead)]
                    ahead.append(self._load(opened, following, soon))
                if (loading := ahead.popleft()) is not None:
                    loading.result()
                with self._frames.frame(opened, number) as frame:
                    try:
                        frame.load(quick)
                        index = np.flatnonzero(within(frame, opened.groups[number], window))
                        index = index[evaluate(node, frame, index)]
                    except UnreadableError:
                        continue
                    if len(index):
                        yield frame, index

    def _opened(self, segment: Segment) -> OpenSegment | None:
        """Return what is known of a segment, None if nothing of it can be read."""
        with self._lock:
            self._used_at = time.monotonic()
            if segment.name in self._open:
                self._open.move_to_end(segment.name)
                return self._open[segment.name]
        opened: OpenSegment | None = None
        try:
            opened = OpenSegment(self._directory / segment.name, self._lost)
        except (DamagedSegmentError, OSError) as error:
            what = f"{segment.rows} records of {self._directory / segment.name} cannot be read"
            self._lost(segment.size, f"{what}: {error}")
        with self._lock:
            self._open[segment.name] = opened
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return opened

    def workers(self) -> ThreadPoolExecutor:
        """Return the threads."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="logdb-read")
            return self._pool

    def _load(
        self, opened: OpenSegment, number: int, columns: Sequence[str]
    ) -> "Future[None] | None":
        """Have columns with much text brought into memory, for somebody who will soon look at them."""
        if _LARGE.isdisjoint(columns):
            return None  # another thread would not be quicker
        return self.workers().submit(self._loaded, opened, number, columns)

    def _loaded(self, opened: OpenSegment, number: int, columns: Sequence[str]) -> None:
        with self._frames.frame(opened, number) as frame, suppress(UnreadableError):
            frame.load(columns)

    def rest(self, names: set[str]) -> None:
        """Let go of all segments but those named, and of what was kept in memory if nobody has searched for a while."""
        with self._lock:
            for name in [name for name in self._open if name not in names]:
                del self._open[name]
            idle = time.monotonic() - self._used_at > _IDLE_SECONDS
        if idle:
            self._frames.forget()

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._open.clear()
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._frames.forget()


def overlaps(part: Segment | Group, window: Window) -> bool:
    """Tell whether a part can have records of a window."""
    return (
        part.min_ts_ns <= window.end_ns
        and part.max_ts_ns >= window.start_ns
        and part.min_seq <= window.max_seq
    )


def within(frame: Frame, group: Group, window: Window) -> Mask:
    """Return which records are in the times and batches of a window."""
    mask = np.ones(frame.rows, dtype=np.bool_)
    if group.min_ts_ns < window.start_ns or group.max_ts_ns > window.end_ns:
        ts_ns = frame.numbers("ts_ns")
        mask &= (ts_ns >= window.start_ns) & (ts_ns <= window.end_ns)
    if group.max_seq > window.max_seq:
        mask &= frame.numbers("seq") <= window.max_seq
    return mask
