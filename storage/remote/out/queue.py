"""Remote write to one endpoint: follows the write-ahead log and spreads what is new over shards.

A series is always sent by the same shard, so that its samples stay in order. The place in the log
is remembered in a file once everything before it has been taken (or refused for good): after a
``kill -9`` what the log holds behind that place is sent, some of it a second time.
"""

import json
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

import numpy as np
from msgspec import Struct

from model.errors import StorageError, reason_of
from model.labels import Labels
from model.samples import Bools, Floats, is_no_sample
from storage.files import replace_file
from storage.interface import Metadata
from storage.remote.client import RemoteWriteClient
from storage.remote.encode import LayoutEncoder, encode_labels, encode_metadata, encode_samples
from storage.remote.encode_histograms import encode_histogram_series
from storage.remote.out.follower import FollowedLayout, Position, Taken, WalFollower
from storage.remote.out.metrics import EndpointMetrics
from storage.remote.out.shard import Pace, Piece, Shard
from storage.tsdb.samples import Samples

log: Final = logging.getLogger(__name__)

Relabel = Callable[[Labels], Labels | None]

_POLL_SECONDS: Final = 0.1
_SAVE_SECONDS: Final = 0.5
_RESHARD_SECONDS: Final = 10.0
_BEHIND_SECONDS: Final = 2.0  # waiting this long for room in ten seconds asks for more shards
_PACE: Final = Pace()
_MAX_KNOWN: Final = 2_000_000


class _Unit(Struct):
    """What was read at once, and how many pieces of it are still on their way."""

    position: Position
    outstanding: int = 1


class _Sent(Struct):
    """One layout as it is sent: rows of the shards, and their encoders."""

    rows: list[tuple[int, Bools, LayoutEncoder]]
    dropped: int


class RemoteWriteQueue:
    """See the module.

    Args:
        wal: Folder of the write-ahead log.
        state: File that remembers the place.
        connect: Makes a connection for one shard.
        relabel: Gives a series the labels it is sent with, None if it is not sent.
        metadata: What is known of metric families.
        metrics: Where it counts.
        pace: How requests are made.
        min_shards: Connections at the start ...
        max_shards: ... and at most.
        metadata_seconds: How often metadata are sent, 0 for never.
    """

    def __init__(
        self,
        wal: Path,
        state: Path,
        connect: Callable[[], RemoteWriteClient],
        metrics: EndpointMetrics,
        *,
        relabel: Relabel = lambda labels: labels,
        metadata: Callable[[], Mapping[str, Metadata]] = dict,
        pace: Pace = _PACE,
        min_shards: int = 1,
        max_shards: int = 50,
        metadata_seconds: float = 60.0,
    ) -> None:
        self._wal = wal
        self._state = state
        self._connect = connect
        self._metrics = metrics
        self._relabel = relabel
        self._metadata = metadata
        self._pace = pace
        self._count = max(1, min(min_shards, max_shards))
        self._max_shards = max_shards
        self._metadata_seconds = metadata_seconds
        self._metadata_due = 0.0
        self._shards: list[Shard] = []
        self._layouts: dict[FollowedLayout, _Sent] = {}
        self._series: dict[Labels, tuple[int, bytes] | None] = {}
        self._units: deque[_Unit] = deque()
        self._lock = Lock()
        self._stop = Event()
        self._settled: Position | None = None
        self._unsaved = False
        self._saved_at = 0.0
        self._waited = 0.0
        self._looked_at = 0.0
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
                if taken is not None:
                    self._dispatch(taken)
                else:
                    self._stop.wait(_POLL_SECONDS)
                self._send_metadata()
                self._reshard()
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
        newest = 0
        for ts_ms, item in _in_time_order(taken):
            newest = max(newest, ts_ms)
            if isinstance(item, Samples):
                self._loose(item, taken.labels, unit)
            else:
                self._scrape(item[0], ts_ms, item[1], unit)
        if newest:
            self._metrics.highest.set(newest / 1000)
        self._done(unit)

    def _scrape(self, layout: FollowedLayout, ts_ms: int, values: Floats, unit: _Unit) -> None:
        sent = self._layouts.get(layout)
        if sent is None:
            if len(self._layouts) > 10_000:
                self._layouts.clear()
            sent = self._layouts[layout] = self._learn(layout)
        if sent.dropped:
            self._metrics.dropped.labels("relabel").inc(sent.dropped)
        for shard, rows, encoder in sent.rows:
            data, count = encoder.encode(ts_ms, values[rows])
            self._put(shard, data, count, ts_ms, unit)

    def _learn(self, layout: FollowedLayout) -> _Sent:
        places = [self._place(labels) for labels in layout.labels]
        shards = np.array([-1 if place is None else place[0] for place in places])
        rows = []
        for shard in sorted(set(shards.tolist()) - {-1}):
            mine = np.equal(shards, shard)
            labels = [place[1] for place in places if place is not None and place[0] == shard]
            rows.append((int(shard), mine, LayoutEncoder.of_encoded(labels)))
        return _Sent(rows, int((shards < 0).sum()))

    def _place(self, labels: Labels) -> tuple[int, bytes] | None:
        """Return shard and encoded labels of a series, None if it is not sent."""
        if labels in self._series:
            return self._series[labels]
        if len(self._series) > _MAX_KNOWN:
            self._series.clear()
        found = self._relabel(labels)
        place = None
        if found is not None and found:
            encoded = encode_labels(found)
            place = (zlib.crc32(encoded) % self._count, encoded)
        self._series[labels] = place
        return place

    def _loose(self, samples: Samples, labels: Mapping[int, Labels], unit: _Unit) -> None:
        """Send samples with their own times."""
        refs, inverse = np.unique(samples.refs, return_inverse=True)
        places = [self._place(labels[ref]) for ref in refs.tolist()]
        shards = np.array([-1 if place is None else place[0] for place in places])[inverse]
        unsent = int((shards < 0).sum())
        if unsent:
            self._metrics.dropped.labels("relabel").inc(unsent)
        for shard in sorted(set(shards.tolist()) - {-1}):
            rows = np.flatnonzero(shards == shard)
            for start in range(0, len(rows), self._pace.max_samples_per_send):
                some = rows[start : start + self._pace.max_samples_per_send]
                held = [places[n] for n in inverse[some].tolist()]
                encoded = [place[1] for place in held if place is not None]
                self._put_loose(int(shard), encoded, samples.take(some), unit)

    def _put_loose(self, shard: int, labels: list[bytes], samples: Samples, unit: _Unit) -> None:
        floats = ~is_no_sample(samples.values)
        chosen = [one for one, is_float in zip(labels, floats.tolist(), strict=True) if is_float]
        data, count = encode_samples(chosen, samples.ts_ms[floats], samples.values[floats])
        column = None if samples.histograms is None else samples.histograms.gathered()
        if column is not None:
            for n in np.flatnonzero(column.index >= 0).tolist():
                row, ts_ms = int(column.index[n]), int(samples.ts_ms[n])
                data += encode_histogram_series(labels[n], column.pool, row, ts_ms)
                count += 1
        self._put(shard, data, count, int(samples.ts_ms.max(initial=0)), unit)

    def _put(self, shard: int, data: bytes, count: int, newest_ms: int, unit: _Unit) -> None:
        if not count:
            return
        with self._lock:
            unit.outstanding += 1
        began = time.monotonic()
        self._shards[shard].put(Piece(data, count, newest_ms, partial(self._done, unit)))
        self._waited += time.monotonic() - began

    def _send_metadata(self) -> None:
        now = time.monotonic()
        if not self._metadata_seconds or now < self._metadata_due:
            return
        self._metadata_due = now + self._metadata_seconds
        known = self._metadata()
        if known:
            self._shards[0].put(Piece(encode_metadata(known), 0, 0, lambda: None))

    # ------------------------------------------------------------ shards

    def _open_shards(self) -> None:
        self._shards = [
            Shard(self._connect(), self._pace, self._metrics, self._stop)
            for _ in range(self._count)
        ]
        self._metrics.shards.set(self._count)

    def _reshard(self) -> None:
        """Double the shards while they hold reading up; halve them when they never do."""
        now = time.monotonic()
        if now < self._looked_at + _RESHARD_SECONDS:
            return
        waited, self._waited, self._looked_at = self._waited, 0.0, now
        if waited < _BEHIND_SECONDS or self._count >= self._max_shards:
            return
        for shard in self._shards:  # a series must not be in two shards at a time
            while not shard.close(0.2):
                if self._stop.is_set():
                    return
        self._count = min(self._count * 2, self._max_shards)
        self._layouts.clear()
        self._series.clear()
        self._open_shards()
        log.info("remote write: %d shards send now", self._count)

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
