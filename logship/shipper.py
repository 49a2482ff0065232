"""Reads every task's logs and hands them to the lanes; the checkpoint follows what was delivered.

One thread reads all files in turn, at most one read of 512 KiB per file and turn and those first of
which least was read lately, so a noisy task never keeps a quiet one waiting. Another watches for
tasks and opens the files of new ones at once: a container that lives 200 ms is read although it is
gone. Where files were named by patterns, a third looks for new ones. Each lane has a thread.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from prometheus_client import CollectorRegistry

from logship.attention import Attention
from logship.checkpoint import CheckpointFile
from logship.deadletter import DeadLetters
from logship.lane import Lane, SinkStatus
from logship.ledger import Ledger
from logship.limits.limiter import Report
from logship.memory import keep_freed
from logship.metrics import LogshipMetrics
from logship.policy import Policy
from logship.redact import Redactor
from logship.sink.base import Sink
from logship.source.chunk import Chunk, Stream
from logship.source.docker_api import ApiStream
from logship.source.finder import KINDS, Finder, Kind
from logship.source.globs import FileSource, Globs
from logship.source.known import KnownFiles
from logship.spool.spool import Spool
from logship.spool.stream import SpoolStream
from logship.through import Through
from model.clock import Clock
from model.samples import SeriesBlock, SeriesSource
from model.task import Task, TaskSource

REWRITE_SECONDS: Final = 86_400  # so that idle sources are known to be there still
GLOB_SECONDS: Final = 1.0
TURN_SECONDS: Final = 0.5  # then those are read again of which little was read
HELD_BYTES: Final = 1 << 20
HELD_MAX: Final = 1000
RETIRE_SECONDS: Final = 1.0
KEEP_SECONDS: Final = 7 * 86_400  # positions of files that are gone, in case they come back
_log = logging.getLogger(__name__)


class Settings(Struct, frozen=True):
    """How to ship; sizes in bytes, times in seconds."""

    dataset: str = "task"
    redact: bool = True
    buffer_bytes: int = 8 << 20
    request_timeout_seconds: float = 30.0
    checkpoint_interval_seconds: float = 1.0
    poll_interval_seconds: float = 0.25
    docker_socket: str = "/var/run/docker.sock"  # "" never asks Docker's API
    kinds: frozenset[Kind] = KINDS  # of tasks whose logs are shipped
    elsewhere: frozenset[str] = frozenset()  # log drivers whose lines come over a socket
    files: tuple[FileSource, ...] = ()
    cluster: str = ""  # of ``files``, which no task source knows
    host: str = ""


class ShipperStatus(Struct, frozen=True):
    """For start-up, ``doctor`` and the console: how sinks are doing, what cannot be read, warnings.

    ``through_api`` logs are read through the runtime's API, because their files may not be read or
    there are none.
    """

    sinks: tuple[SinkStatus, ...]
    problems: tuple[str, ...]
    streams: int
    through_api: int = 0


class Shipper:
    """The whole way from tasks to sinks."""

    def __init__(
        self,
        tasks: TaskSource,
        sinks: Sequence[Sink],
        directory: Path,
        settings: Settings,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        spools: Sequence[Spool] = (),
        redactor: Redactor | None = None,
        policy: Policy | None = None,
        report: Report | None = None,
    ) -> None:
        """Make it; nothing starts. ``spools`` wait on disk for the sinks; ``redactor`` is one that the caller has already.

        ``report`` writes what the limits of the ``policy`` left out, as ``EventLog.append``.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tasks = tasks
        self._settings = settings
        self._clock = clock
        self._metrics = self.metrics = LogshipMetrics(registry)
        self._ledger = Ledger()
        self._attention = Attention(settings.poll_interval_seconds)
        self._woken: set[str] = set()
        self._held: list[tuple[Lane, Chunk]] = []
        self._retired_at = 0.0
        policy = policy or Policy()
        self._through = Through(policy, self._ledger, self._metrics, report)
        self._dirty = False
        self._starved = False
        self._lanes = [
            Lane(
                sink,
                DeadLetters(directory, sink.name),
                self._metrics,
                clock,
                buffer_bytes=settings.buffer_bytes,
                timeout_seconds=settings.request_timeout_seconds,
                on_delivered=self._delivered,
            )
            for sink in sinks
        ]
        self._checkpoint = CheckpointFile(directory)
        loaded = self._checkpoint.load()
        self._warnings = list(loaded.warnings)
        self._known = KnownFiles(loaded.entries)
        names = [sink.name for sink in sinks]
        self._finder = Finder(
            (redactor or Redactor()) if settings.redact else None,
            self._known,
            names,
            dataset=settings.dataset,
            docker_socket=settings.docker_socket,
            kinds=settings.kinds,
            elsewhere=settings.elsewhere,
            cluster=settings.cluster,
            host=settings.host,
            policy=policy,
        )
        self._globs = Globs(settings.files, clock)
        waiting = [SpoolStream(s, self._known, names, self._metrics.damaged) for s in spools]
        self._streams: dict[str, Stream] = {stream.key: stream for stream in waiting}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._saved_at = 0.0
        self._rewritten_s = 0
        self._checkpoint_problem = ""

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start; returns when the logs of the tasks known now are open."""
        keep_freed()
        self._finder.found(self._globs.expand())
        self._find(self._tasks.snapshot())
        for lane in self._lanes:
            lane.start()
        bodies = [("reader", self._read_all), ("watcher", self._watch)]
        if self._settings.files:
            bodies.append(("globs", self._look_for_files))
        for name, body in bodies:
            thread = threading.Thread(target=self._forever, args=(body,), name=f"logship-{name}", daemon=True)  # fmt: skip
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop reading, deliver what is buffered within the time, save the checkpoint; safe twice."""
        self._stop.set()
        self._attention.ring()
        for thread in self._threads:
            thread.join(timeout_seconds)
        self._through.tick(self._clock.monotonic(), closing=True)
        for lane in self._lanes:
            lane.stop(timeout_seconds / max(1, len(self._lanes)))
        if self._threads:
            self._save()
        self._threads.clear()
        self._checkpoint.close()
        for stream in self._streams.values():
            stream.close()
        self._attention.close()

    def _forever(self, body: Callable[[], None]) -> None:
        """Run a loop's body until stopped; whatever goes wrong is counted and said, and it goes on."""
        while not self._stop.is_set():
            try:
                body()
            except Exception as error:
                self._metrics.errors.labels("reader", type(error).__name__).inc()
                _log.exception("log shipping met an error and goes on")
                self._stop.wait(1.0)

    # ------------------------------------------------------------ finding

    def _watch(self) -> None:
        for tasks in self._tasks.watch(self._stop):
            self._find(tasks)
        self._stop.wait(1.0)

    def _look_for_files(self) -> None:
        self._stop.wait(GLOB_SECONDS)
        if self._finder.found(self._globs.expand()):
            self._find(self._tasks.snapshot())

    def _find(self, tasks: frozenset[Task]) -> None:
        with self._lock:
            update = self._finder.update(
                self._streams, tasks, self._clock.monotonic(), self._clock.now_ns()
            )
            if update.new:
                self._streams = self._streams | update.new
            self._woken.update(update.changed)
        if update.new or update.changed:
            self._attention.ring()

    # ------------------------------------------------------------ reading

    def _read_all(self) -> None:
        """Make one turn over the streams that are not quiet, then wait unless there is more."""
        attention = self._attention
        with self._lock:
            streams = self._streams
            woken, self._woken = self._woken, set()
        attention.follow(streams)
        attention.wake(woken)
        more = self._starved = False
        began = self._clock.monotonic()
        for stream in attention.turn(began, self._clock.now_ns()):
            if self._stop.is_set():
                return
            now = self._clock.monotonic()
            if now - began > TURN_SECONDS:
                more = True
                break
            try:
                growing = stream.refresh(now, self._clock.now_ns())
                if growing:
                    more |= self._read(stream)
                elif attention.rest(stream, now, self._clock.now_ns()):
                    more = True
                self._count_losses(stream)
            except Exception as error:
                self._metrics.errors.labels("reader", type(error).__name__).inc()
                stream.problem = f"{stream.key}: {type(error).__name__}: {error}"
                _log.exception("a log cannot be read; the others go on")
        self._put_held()
        for lane in self._lanes:
            lane.go()
        now = self._clock.monotonic()
        if now - self._retired_at >= RETIRE_SECONDS:
            self._retired_at = now
            self._retire(streams.values())
        self._metrics.open_files.set(len(streams))
        self._through.tick(now)
        if self._is_urgent() or (self._dirty and now - self._saved_at >= self._settings.checkpoint_interval_seconds):  # fmt: skip
            self._save()
        attention.wait(more=more)

    def _read(self, stream: Stream) -> bool:
        """Give each lane the next chunk of a stream; one read serves all that are at the same place.

        Returns:
            Whether it is worth looking at the stream again at once.
        """
        if self._checkpoint_problem and self._known.waits(stream.key):
            return False  # what was read of it is held already; the rest waits in the file
        more = False
        chunk: Chunk | None = None
        reader = ""  # the lane it was read for
        for lane in self._lanes:
            if not lane.has_room:
                self._starved = True
                continue
            if chunk is None or not stream.fits(lane.name, chunk):
                chunk = stream.read(lane.name, self._clock.monotonic(), self._clock.now_ns())
                chunk = self._through.read(chunk, lane.name) if chunk is not None else None
                reader = lane.name
            else:
                self._through.share(chunk, lane.name, reader)
            if chunk is None:
                continue
            self._known.touch(chunk.source.source_id)
            stream.advance(lane.name, chunk)
            self._attention.count(stream, chunk.size)
            if self._known.urgent:
                self._held.append((lane, chunk))
            else:
                lane.put(chunk)
            more |= chunk.more
        if sum(chunk.size for _, chunk in self._held[-HELD_MAX:]) > HELD_BYTES or len(self._held) > HELD_MAX:  # fmt: skip
            self._put_held()
        return more

    def _put_held(self) -> None:
        """Ship what waited for the checkpoint: it must know a source before anything of it is shipped."""
        if self._is_urgent():
            self._save()
        held, self._held = self._held, []
        for lane, chunk in held:
            if self._known.is_new(chunk.source.source_id):  # it could not be written
                self._held.append((lane, chunk))
            else:
                lane.put(chunk)

    def _count_losses(self, stream: Stream) -> None:
        truncations, abandoned = stream.losses()
        if truncations:
            self._metrics.truncated_files.inc(truncations)
        if abandoned:
            self._metrics.abandoned_bytes.inc(abandoned)

    def _retire(self, streams: Iterable[Stream]) -> None:
        """Drop the streams of tasks that are no longer known, once everything is delivered."""
        finished = [s for s in streams if s.gone and s.finished]
        if not finished:
            return
        known = {task.identity.task_id for task in self._tasks.snapshot()}
        finished = [s for s in finished if s.task.identity.task_id not in known]
        if not finished:
            return
        now_s = self._clock.now_ns() // 1_000_000_000
        self._through.forget(known)
        with self._lock:
            for stream in finished:
                stream.close()
                self._known.release(stream.key, now_s)
                self._streams = {k: s for k, s in self._streams.items() if s is not stream}
        self._dirty = True

    # ------------------------------------------------------------ positions

    def _delivered(self) -> None:
        self._dirty = True
        if self._starved:  # there was more to read than a lane had room for
            self._attention.ring()

    def _is_urgent(self) -> bool:
        """Tell whether the checkpoint must be saved at once; where it could not be, in a while."""
        if not self._known.urgent or not self._checkpoint_problem:
            return self._known.urgent
        waited = self._clock.monotonic() - self._saved_at
        return waited >= self._settings.checkpoint_interval_seconds

    def _save(self) -> None:
        now_s = self._clock.now_ns() // 1_000_000_000
        self._dirty = False
        try:
            changes = self._known.changes(now_s)
            everything = partial(self._known.entries, now_s, KEEP_SECONDS)
            if now_s - self._rewritten_s > REWRITE_SECONDS:
                self._rewritten_s = now_s
                self._checkpoint.rewrite(everything())
            else:
                self._checkpoint.save(changes.entries, changes.gone, everything)
            self._known.saved(changes)
            self._checkpoint_problem = ""
        except OSError as error:
            self._dirty = True
            self._metrics.errors.labels("checkpoint", type(error).__name__).inc()
            self._checkpoint_problem = f"the log checkpoint cannot be written: {error.strerror}; what is in new files waits until it can"  # fmt: skip
        self._saved_at = self._clock.monotonic()

    # ------------------------------------------------------------ telling

    def collect(self, now_ms: int) -> list[SeriesBlock]:
        """See ``model.samples.SeriesSource``."""
        with self._lock:
            streams = list(self._streams.values())
        accounts = self._ledger.collect(streams, self._clock.monotonic())
        return [*accounts, *self._through.collect()]

    def status(self) -> ShipperStatus:
        """Return how it is going."""
        with self._lock:
            streams = list(self._streams.values())
        problems = [
            *self._warnings,
            *self._globs.problems,
            *(s.problem for s in streams if s.problem),
        ]
        if self._checkpoint_problem:
            problems.append(self._checkpoint_problem)
        return ShipperStatus(tuple(lane.status for lane in self._lanes), tuple(problems), len(streams), sum(isinstance(s, ApiStream) for s in streams))  # fmt: skip


if TYPE_CHECKING:
    _: type[SeriesSource] = Shipper
