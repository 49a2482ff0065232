"""Keeps the set of targets right and scrapes each of them on its interval.

Targets come from container labels, from the configuration and from files. The first scrape of a
target is at its place in the interval, which its labels decide, so that targets are spread out and
stay where they are after a restart.
"""

import logging
import time
from collections.abc import Sequence
from threading import Event, Lock, Thread
from typing import Any, Final

from prometheus_client import CollectorRegistry

from collector.metrics import ScrapeMetrics
from collector.scrape.containers import container_targets
from collector.scrape.discovery import FileConfig, ScrapeConfig
from collector.scrape.fetch import Fetcher
from collector.scrape.http import FetchError, Response
from collector.scrape.series import TargetSeries
from collector.scrape.target import ScrapeJob, Target, make_targets
from collector.scrape.worker import TargetState, Workers
from model.clock import Clock, now_ms
from model.labels import Labels
from model.task import Task, TaskSource
from promql.text import format_duration
from storage.interface import Appender

_log = logging.getLogger(__name__)

_FILES_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.1  # targets near one another share the waking up and a warm cache


class ScrapeManager:
    """See the module.

    Args:
        tasks: Whose labels declare targets.
        appender: Where samples go.
        configs: The operator's ``scrape_configs``.
        clock: Times the samples.
        registry: For self metrics.
        defaults: Interval, timeout and limits of targets that containers declare.
        parsers: Threads that parse.
    """

    def __init__(
        self,
        tasks: TaskSource,
        appender: Appender,
        configs: Sequence[ScrapeConfig],
        clock: Clock,
        registry: CollectorRegistry,
        *,
        defaults: ScrapeJob | None = None,
        parsers: int = 2,
    ) -> None:
        self._tasks = tasks
        self._appender = appender
        self._configs = tuple(configs)
        self._clock = clock
        self._defaults = defaults or ScrapeJob("containers")
        self._metrics = ScrapeMetrics(registry)
        self._workers = Workers(appender, self._metrics, parsers)
        self._fetcher = Fetcher(self._metrics)
        self._states: dict[object, TargetState] = {}
        self._dropped: list[tuple[str, Labels]] = []
        self._problems: list[str] = []
        self._seen: frozenset[Task] = frozenset()
        self._lock = Lock()
        self._changed = Event()
        self._stop = Event()
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Begin to scrape the targets that are known now, and to look for others."""
        if self._threads or self._stop.is_set():
            return
        self._workers.start()
        self._fetcher.start()
        self._seen = self._tasks.snapshot()
        self._sync()
        for function, name in ((self._watch, "scrape-watch"), (self._keep, "scrape-targets")):
            thread = Thread(target=function, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop fetching, store what was fetched; safe twice and before start."""
        self._stop.set()
        self._changed.set()
        deadline = time.monotonic() + timeout_seconds
        self._fetcher.stop(timeout_seconds)
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        self._threads.clear()
        self._workers.stop(max(deadline - time.monotonic(), 0.1))

    def reload(self, configs: Sequence[ScrapeConfig], defaults: ScrapeJob) -> None:
        """Scrape by another configuration from now on; targets that it does not change go on as they are."""
        self._configs, self._defaults = tuple(configs), defaults
        self._changed.set()

    def targets(self) -> dict[str, list[dict[str, Any]]]:
        """Return ``activeTargets`` and ``droppedTargets`` with the fields of Prometheus's /api/v1/targets."""
        with self._lock:
            states = list(self._states.values())
            dropped = list(self._dropped)
        return {
            "activeTargets": [_shown(state) for state in states],
            "droppedTargets": [
                {"discoveredLabels": labels.asdict(), "scrapePool": job} for job, labels in dropped
            ],
        }

    def problems(self) -> list[str]:
        """Return what is wrong with declared targets that are not scraped, one sentence each."""
        with self._lock:
            return list(self._problems)

    # ------------------------------------------------------------ which targets

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                for tasks in self._tasks.watch(self._stop):
                    self._seen = tasks
                    self._changed.set()
                return
            except Exception:
                _log.exception("tasks cannot be watched for scrape targets")
                self._stop.wait(_FILES_SECONDS)

    def _keep(self) -> None:
        while True:
            files = [d for c in self._configs for d in c.discoverers if isinstance(d, FileConfig)]
            pauses = [min(d.refresh_seconds, _FILES_SECONDS) for d in files]
            self._changed.wait(min(pauses, default=None))
            if self._stop.is_set():
                return
            self._changed.clear()
            try:
                self._sync()
            except Exception:
                _log.exception("scrape targets cannot be brought up to date")

    def _sync(self) -> None:
        found, dropped, problems = self._find()
        wanted = {target.key: target for target in found}
        with self._lock:
            stay = {
                key
                for key, state in self._states.items()
                if key in wanted and state.target.is_scraped_as(wanted[key])
            }
            fresh = [
                TargetState(target, TargetSeries(target, self._appender))
                for key, target in wanted.items()
                if key not in stay
            ]
            gone = [self._states.pop(key) for key in self._states.keys() - stay]
            self._states.update({state.target.key: state for state in fresh})
            self._dropped, self._problems = dropped, problems
            states = list(self._states.values())
        at_ms = now_ms(self._clock)
        for state in gone:
            self._workers.end(state, at_ms)
            self._fetcher.call(lambda target=state.target: self._fetcher.forget(target))  # type: ignore[misc]
        for state in fresh:
            self._fetcher.call(lambda state=state: self._schedule(state))  # type: ignore[misc]
        self._count(states, dropped)

    def _find(self) -> tuple[list[Target], list[tuple[str, Labels]], list[str]]:
        targets, problems = container_targets(self._seen, self._defaults)
        dropped: list[tuple[str, Labels]] = []
        for config in self._configs:
            found = []
            for discoverer in config.discoverers:
                found += discoverer.found()
                if isinstance(discoverer, FileConfig):
                    problems += discoverer.problems
            made, left, wrong = make_targets(config.job, found)
            targets += made
            dropped += [(config.job.job_name, labels) for labels in left]
            problems += wrong
        return targets, dropped, problems

    def _count(self, states: Sequence[TargetState], dropped: Sequence[tuple[str, Labels]]) -> None:
        self._metrics.targets.clear()
        for state in states:
            self._metrics.targets.labels(state.target.job.job_name, state.health).inc()
        self._metrics.targets_dropped.clear()
        for job, _ in dropped:
            self._metrics.targets_dropped.labels(job).inc()

    # ------------------------------------------------------------ when; on the fetching thread

    def _schedule(self, state: TargetState) -> None:
        """Scrape at the target's place in the interval, counted from the epoch."""
        interval = state.target.interval_seconds
        place = state.target.offset * interval // _STEP_SECONDS * _STEP_SECONDS
        due = time.monotonic() + interval - (self._clock.now_ns() / 1e9 - place) % interval
        self._fetcher.call_at(due, lambda: self._tick(state, due))

    def _tick(self, state: TargetState, due: float) -> None:
        if self._stop.is_set() or self._states.get(state.target.key) is not state:
            return
        interval = state.target.interval_seconds
        following = due + interval
        if (late := time.monotonic() - following) > 0:
            following += (late // interval + 1) * interval
        self._fetcher.call_at(following, lambda: self._tick(state, following))
        if state.busy:  # still fetching or parsing
            self._metrics.failures.labels(state.target.job.job_name, "overrun").inc()
            return
        state.busy = True
        at_ms, started = now_ms(self._clock), time.monotonic()

        def done(result: Response | FetchError) -> None:
            self._workers.fetched(state, result, at_ms, started)

        self._fetcher.fetch(state.target, done)


def _shown(state: TargetState) -> dict[str, Any]:
    target = state.target
    return {
        "discoveredLabels": target.discovered.asdict(),
        "labels": target.labels.asdict(),
        "scrapePool": target.job.job_name,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": state.last_error,
        "lastScrape": state.last_scrape_ms / 1000,
        "lastScrapeDuration": state.last_duration_seconds,
        "health": state.health,
        "scrapeInterval": format_duration(round(target.interval_seconds * 1000)),
        "scrapeTimeout": format_duration(round(target.timeout_seconds * 1000)),
    }
