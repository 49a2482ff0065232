"""Remote write to one endpoint: follows the write-ahead log and spreads what is new over shards.

The place in the log is remembered in a file once everything before it has been taken (or refused
for good): after a ``kill -9`` what the log holds behind that place is sent, some of it a second time.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

import numpy as np
from msgspec import Struct

from model.errors import StorageError, reason_of
from model.samples import Floats
from storage.files import replace_file
from storage.interface import Metadata
from storage.remote.client import RemoteWriteClient
from storage.remote.out.follower import FollowedLayout, Position, Taken, WalFollower
from storage.remote.out.format import Format
from storage.remote.out.format_v1 import FormatV1
from storage.remote.out.metrics import EndpointMetrics
from storage.remote.out.plan import Backlog, Flow, ShardPlan
from storage.remote.out.router import Relabel, Routed, Router
from storage.remote.out.shard import Pace, Piece, Shard
from storage.tsdb.samples import Samples

log: Final = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.1
_SAVE_SECONDS: Final = 0.5
_RESHARD_SECONDS: Final = 10.0
_PACE: Final = Pace()


class _Unit(Struct):
    """What was read at once, and how many pieces of it are still on their way."""

    position: Position
    outstanding: int = 1


class RemoteWriteQueue:
    """See the module.

    Args:
        wal: Folder of the write-ahead log.
        state: File that remembers the place.
        connect: Makes a connection for one shard; of the format's version.
        metrics: Where it counts.
        form: The protocol's version; 1.0 if None.
        relabel: Gives a series the labels it is sent with, None if it is not sent.
        metadata: What is known of metric families.
        pace: How requests are made.
        min_shards: Connections at the start and at least ...
        max_shards: ... and at most.
        metadata_seconds: How often metadata are sent (1.0) or looked at (2.0), 0 for never.
        metadata_per_send: Most metric families of one request.
        send_exemplars: Whether exemplars are sent.
        send_histograms: Whether native histograms are sent.
        monotonic: Tells the time for what is done now and then.
    """

    def __init__(
        self,
        wal: Path,
        state: Path,
        connect: Callable[[], RemoteWriteClient],
        metrics: EndpointMetrics,
        *,
        form: Format | None = None,
        relabel: Relabel = lambda labels: labels,
        metadata: Callable[[], Mapping[str, Metadata]] = dict,
        pace: Pace = _PACE,
        min_shards: int = 1,
        max_shards: int = 50,
        metadata_seconds: float = 60.0,
        metadata_per_send: int = 2_000,
        send_exemplars: bool = False,
        send_histograms: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wal = wal
        self._state = state
        self._connect = connect
        self._metrics = metrics
        self._format = form or FormatV1()
        self._metadata = metadata
        self._pace = pace
        self._count = max(1, min(min_shards, max_shards))
        self._plan = ShardPlan(self._count, max_shards)
        self._router = Router(
            self._format,
            relabel,
            metrics,
            self._count,
            max_samples=pace.max_samples_per_send,
            send_exemplars=send_exemplars,
            send_histograms=send_histograms,
        )
        self._flow = Flow(monotonic)
        self._backlog = Backlog()
        self._metadata_seconds = metadata_seconds
        self._metadata_per_send = metadata_per_send
        self._metadata_due = monotonic()
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._shards: list[Shard] = []
        self._units: deque[_Unit] = deque()
        self._lock = Lock()
        self._stop = Event()
        self._settled: Position | None = None
        self._unsaved = False
        self._saved_at = 0.0
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to send; the folder of the log must be there.

        Raises:
            StorageError: If the place cannot be read.
        """
        if self._thread is not None or self._stop.is_set():
            return
        position = self._load()
        follower = WalFollower(self._wal, position)
        if position is None:
            self._save(follower.position)
        self._open_shards()
        self._thread = Thread(target=self._run, args=(follower,), name="remote-write", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End; what has not been sent stays in the log for the next start. Safe twice and before start."""
        self._stop.set()
        for shard in self._shards:
            shard.wake()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None
        for shard in self._shards:
            shard.close(timeout_seconds)
        self._shards = []
        with self._lock:
            self._settle(at_once=True)

    # ------------------------------------------------------------ reading

    def _run(self, follower: WalFollower) -> None:
        while not self._stop.is_set():
            try:
                lost = follower.lost_segments
                taken = follower.read()
                self._metrics.lost.inc(follower.lost_segments - lost)
                self._tell_metadata()
                if taken is not None:
                    self._backlog.read(taken.bytes)
                    self._dispatch(taken)
                else:
                    self._stop.wait(_POLL_SECONDS)
                self._reshard(follower)
                with self._lock:
                    self._settle()
            except Exception as error:  # the thread must live; the log is still there
                log.warning("remote write: the log cannot be read: %s", reason_of(error))
                self._stop.wait(1.0)

    def _dispatch(self, taken: Taken) -> None:
        """Encode what was read and give it to the shards."""
        unit = _Unit(taken.position)
        with self._lock:
            self._units.append(unit)
        router, newest = self._router, 0
        exemplars = [(taken.labels[ref], one) for ref, one in taken.exemplars]
        if exemplars and self._format.version != 1:
            router.wait_for_samples(exemplars)
        for ts_ms, item in _in_time_order(taken):
            newest = max(newest, ts_ms)
            if isinstance(item, Samples):
                self._backlog.took(item.size)
                self._put(router.loose(item, taken.labels), unit)
            else:
                self._backlog.took(len(item[1]))
                self._put(router.scrape(item[0], ts_ms, item[1]), unit)
        if exemplars and self._format.version == 1:
            self._put(router.exemplars(exemplars), unit)
        if newest:
            self._metrics.highest.set(newest / 1000)
        self._done(unit)

    def _put(self, routed: Iterable[Routed], unit: _Unit) -> None:
        for one in routed:
            if one.counts.total:
                with self._lock:
                    unit.outstanding += 1
                done = partial(self._done, unit)
                self._shards[one.shard].put(Piece(one.content, one.counts, one.newest_ms, done))

    def _tell_metadata(self) -> None:
        """Send what is known of metric families (1.0), or know it for what is sent next (2.0)."""
        now = self._monotonic()
        if not self._metadata_seconds or now < self._metadata_due:
            return
        self._metadata_due = now + self._metadata_seconds
        known = self._metadata()
        if not isinstance(self._format, FormatV1):
            self._router.tell(known)
            return
        for some in _batches(known, self._metadata_per_send):
            content, counts = self._format.metadata(some)
            self._shards[0].put(Piece(content, counts, 0, lambda: None))

    # ------------------------------------------------------------ shards

    def _open_shards(self) -> None:
        self._shards = [
            Shard(self._connect(), self._format, self._pace, self._metrics, self._flow, self._stop)
            for _ in range(self._count)
        ]
        self._metrics.shards.set(self._count)

    def _reshard(self, follower: WalFollower) -> None:
        """Have as many shards as the load asks for."""
        now = self._monotonic()
        seconds = now - self._looked_at
        if seconds < _RESHARD_SECONDS:
            return
        self._looked_at = now
        passed = self._flow.collect()
        waiting = sum(shard.waiting for shard in self._shards)
        arrived, unread = self._backlog.look(follower.unread_bytes())
        dropped, self._router.dropped = self._router.dropped, 0
        wanted = self._plan.desired(
            self._count, seconds, arrived, dropped, passed, unread + waiting
        )
        self._metrics.desired_shards.set(wanted)
        if wanted == self._count or (waiting and not passed.taken):
            return  # while the far side is away, the shards would not get empty
        for shard in self._shards:
            shard.finish()
        for shard in self._shards:  # a series must not be in two shards at a time
            while not shard.close(0.2):
                if self._stop.is_set():
                    return
        log.info("remote write: %d shards send now, not %d", wanted, self._count)
        self._count = wanted
        self._router.spread(wanted)
        self._open_shards()

    # ------------------------------------------------------------ the place

    def _done(self, unit: _Unit) -> None:
        with self._lock:
            unit.outstanding -= 1
            self._settle()

    def _settle(self, *, at_once: bool = False) -> None:
        """Remember the place before which everything is done; the caller holds the lock."""
        position = None
        while self._units and not self._units[0].outstanding:
            position = self._units.popleft().position
        if position is not None:
            self._settled, self._unsaved = position, True
        due = at_once or time.monotonic() > self._saved_at + _SAVE_SECONDS
        if self._settled is not None and self._unsaved and due:
            self._save(self._settled)

    def _save(self, position: Position) -> None:
        self._saved_at, self._unsaved = time.monotonic(), False
        try:
            self._state.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._state, json.dumps(position._asdict()).encode())
        except OSError as error:
            log.warning("%s: the place cannot be remembered: %s", self._state, reason_of(error))

    def _load(self) -> Position | None:
        try:
            found = json.loads(self._state.read_bytes())
            return Position(int(found["segment"]), int(found["offset"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{self._state}: {reason_of(error)}") from error


def _in_time_order(
    taken: Taken,
) -> list[tuple[int, Samples | tuple[FollowedLayout, Floats]]]:
    """Return scrapes and samples by time: in the log, what was taken within 100 ms has no order."""
    items: list[tuple[int, Samples | tuple[FollowedLayout, Floats]]] = [
        (ts_ms, (layout, values)) for layout, ts_ms, values in taken.scrapes
    ]
    for samples in taken.samples:
        ordered = samples.take(np.argsort(samples.ts_ms, kind="stable"))
        edges = np.flatnonzero(np.diff(ordered.ts_ms)) + 1
        if not taken.scrapes:
            edges = edges[:0]  # nothing can come between
        for rows in np.split(np.arange(ordered.size), edges):
            part = ordered.take(rows)
            items.append((int(part.ts_ms[-1]), part))
    items.sort(key=lambda item: item[0])
    return items


def _batches(known: Mapping[str, Metadata], size: int) -> Iterator[dict[str, Metadata]]:
    items = iter(known.items())
    while some := dict(islice(items, size)):
        yield some
