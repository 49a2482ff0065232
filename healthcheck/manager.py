"""Makes the checks of all running tasks, in time, and knows their health.

One thread follows the tasks, one decides what is due, a pool probes. A probe that hangs holds one
thread until its time-out; checks whose last probe was slow run in a pool of their own, so that many
hung targets delay each other but none that answers.
"""

import heapq
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from prometheus_client import CollectorRegistry

from healthcheck.metrics import HealthcheckMetrics
from healthcheck.pool import Pool
from healthcheck.probe import probe
from healthcheck.prober.command import ExecRunner
from healthcheck.prober.outcome import Outcome, not_made
from healthcheck.select import DeclaredCheck
from healthcheck.series import HealthSeries
from healthcheck.watched import Slot, Watched
from model.clock import Clock, now_ms
from model.health import MAX_OUTPUT_BYTES, HealthResult, HealthSource, Probe, TaskHealth
from model.samples import SeriesBlock, SeriesSource
from model.task import Task, TaskID, TaskSource, TaskState

_log = logging.getLogger(__name__)

_MAX_THREADS: Final = 32  # per pool
_SLOW_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 1.0
_SHOWN_STATES: Final = frozenset({TaskState.RUNNING, TaskState.PAUSED, TaskState.RESTARTING})


class HealthcheckStatus(Struct, frozen=True):
    """How health checking is doing, for start-up text and `doctor`.

    Attributes:
        checks: Checks being made.
        problems: Labels that cannot be used: task name and what is wrong.
    """

    checks: int
    problems: tuple[str, ...]


class HealthManager:
    """See the module; a ``model.health.HealthSource`` and a ``model.samples.SeriesSource``.

    Args:
        tasks: Which tasks there are.
        checks: The operator's, see ``HealthcheckConfig.declared``; labels declare further ones.
        exec_runner: Runs commands in containers; None if nothing can.
        clock: Tells the time.
        registry: Where health checking's own metrics go.
        on_change: Called with each result that changes a check's status; from any thread.
        redact: Takes secrets out of what probes say, before anybody sees it.
    """

    def __init__(
        self,
        tasks: TaskSource,
        checks: Sequence[DeclaredCheck],
        exec_runner: ExecRunner | None,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        on_change: Callable[[HealthResult, Task], None],
        redact: Callable[[str], str] = str,
    ) -> None:
        self._tasks = tasks
        self._declared = tuple(checks)
        self._runner = exec_runner
        self._clock = clock
        self._metrics = HealthcheckMetrics(registry)
        self._on_change = on_change
        self._redact = redact
        self._changed = Condition()  # guards everything below
        self._watched: dict[TaskID, Watched] = {}
        self._healths: dict[TaskID, TaskHealth] = {}
        self._due: list[tuple[float, int, Slot]] = []
        self._order = count()
        self._series: dict[TaskID, HealthSeries] = {}
        self._stop = Event()
        self._threads: list[Thread] = []
        self._pools = (Pool("probe", _MAX_THREADS), Pool("probe-slow", _MAX_THREADS))

    def start(self) -> None:
        """Begin to check."""
        self._take(self._tasks.snapshot())
        self._threads = [
            Thread(target=self._follow, name="health-tasks", daemon=True),
            Thread(target=self._schedule, name="health", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End all checks; what is known stays known. Safe twice and before ``start``."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        deadline = self._clock.monotonic() + timeout_seconds
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(max(deadline - self._clock.monotonic(), 0.0))
        for pool in self._pools:
            pool.stop(max(deadline - self._clock.monotonic(), 0.0))

    def healths(self) -> Mapping[TaskID, TaskHealth]:
        """See ``HealthSource.healths``."""
        with self._changed:
            return dict(self._healths)

    def status(self) -> HealthcheckStatus:
        """Return how it is doing."""
        with self._changed:
            watched = list(self._watched.values())
        checks = sum(len(one.slots) for one in watched if one.active)
        problems = [f"{w.task.identity.task_name}: {p}" for w in watched for p in w.problems]
        return HealthcheckStatus(checks, tuple(sorted(set(problems))))

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        """See ``SeriesSource.collect``; tasks that have ended have no series any more."""
        with self._changed:
            shown = [
                (task_id, one.task.identity, self._healths[task_id])
                for task_id, one in self._watched.items()
                if task_id in self._healths and one.task.status.state in _SHOWN_STATES
            ]
        series, blocks = {}, []
        for task_id, identity, health in shown:
            made = self._series.get(task_id)
            if made is None or not made.fits(identity, health):
                made = HealthSeries(identity, health)
            series[task_id] = made
            blocks.append(made.block(health))
        self._series = series
        return blocks

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                for tasks in self._tasks.watch(self._stop):
                    self._take(tasks)
                return
            except Exception:
                _log.exception("following the tasks goes on after an error of its own")
                self._stop.wait(1.0)

    def _take(self, tasks: Iterable[Task]) -> None:
        changes: list[tuple[HealthResult, Task]] = []
        now, monotonic = now_ms(self._clock), self._clock.monotonic()
        with self._changed:
            seen = set()
            for task in tasks:
                task_id = task.identity.task_id
                seen.add(task_id)
                watched = self._watched.get(task_id)
                if watched is None:
                    watched = self._watched[task_id] = Watched(task)
                elif watched.task is task:
                    continue
                slots = watched.slots
                change = watched.update(task, self._declared, now, monotonic)
                if watched.slots is not slots:
                    for slot in watched.slots.values():
                        self._push(slot)
                self._renew(task_id, watched)
                if change is not None:
                    changes.append((change, task))
            for task_id in self._watched.keys() - seen:
                del self._watched[task_id]
                self._healths.pop(task_id, None)
            problems = sum(len(one.problems) for one in self._watched.values())
            checks = sum(len(one.slots) for one in self._watched.values() if one.active)
            self._changed.notify_all()
        self._metrics.bad_labels.set(problems)
        self._metrics.checks.set(checks)
        for result, task in changes:
            self._tell(result, task)

    def _renew(self, task_id: TaskID, watched: Watched) -> None:
        health = watched.health()
        if health is None:
            self._healths.pop(task_id, None)
        else:
            self._healths[task_id] = health

    def _push(self, slot: Slot) -> None:
        heapq.heappush(self._due, (slot.due, next(self._order), slot))

    def _schedule(self) -> None:
        while not self._stop.is_set():
            with self._changed:
                wait = _LONGEST_WAIT_SECONDS
                if self._due:
                    wait = min(self._due[0][0] - self._clock.monotonic(), wait)
                if wait > 0:
                    self._changed.wait(wait)
                ready = self._ready()
            for slot in ready:
                self._pools[slot.slow].submit(lambda slot=slot: self._probe(slot))  # type: ignore[misc]  # mypy sees no type in the default

    def _ready(self) -> list[Slot]:
        """Take the slots that are due; those whose run is over fall out here."""
        now = self._clock.monotonic()
        ready = []
        while self._due and self._due[0][0] <= now:
            _, _, slot = heapq.heappop(self._due)
            watched = self._watched.get(slot.task.identity.task_id)
            if watched is None or watched.slots.get(slot.check.name) is not slot or slot.busy:
                continue
            if watched.active:
                slot.busy = True
                ready.append(slot)
            else:
                # paused, or waiting to be started again: look again later
                slot.due = now + slot.check.policy.interval_seconds
                if not watched.task.status.state.ended:
                    self._push(slot)
        return ready

    def _probe(self, slot: Slot) -> None:
        began, at = self._clock.monotonic(), now_ms(self._clock)
        self._metrics.late_seconds.set(began - slot.due)
        task = slot.task
        outcome = self._outcome(slot, task)
        seconds = self._clock.monotonic() - began
        output = _cut(self._redact(outcome.output))
        self._metrics.probes.labels(outcome.probe.value).inc()
        if outcome.probe is Probe.ERROR:
            self._metrics.errors.labels(outcome.reason or "other").inc()
        task_id = task.identity.task_id
        result = None
        with self._changed:
            watched = self._watched.get(task_id)
            slot.slow = seconds > _SLOW_SECONDS
            slot.due = max(slot.due + slot.check.policy.interval_seconds, self._clock.monotonic())
            if watched is not None:
                result = watched.finish(
                    slot,
                    outcome.probe,
                    output,
                    at_ms=at,
                    duration_seconds=seconds,
                    now_ms=now_ms(self._clock),
                )
                self._renew(task_id, watched)
                self._push(slot)
                self._changed.notify_all()
        if result is not None and result.changed:
            self._tell(result, task)

    def _outcome(self, slot: Slot, task: Task) -> Outcome:
        try:
            return probe(slot.check, task, self._runner)
        except Exception as error:
            _log.exception("a probe failed by an error of its own")
            return not_made("internal", repr(error))

    def _tell(self, result: HealthResult, task: Task) -> None:
        try:
            self._on_change(result, task)
        except Exception:
            _log.exception("who was told of a change of health failed")


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    if len(data) <= MAX_OUTPUT_BYTES:
        return text
    return data[:MAX_OUTPUT_BYTES].decode(errors="ignore")


if TYPE_CHECKING:
    _health: type[HealthSource] = HealthManager
    _samples: type[SeriesSource] = HealthManager
