"""Runs the rule groups: each on its interval, none waiting for another."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from alerting.alert_store import AlertStore
from alerting.alerting_rule import TemplateContext
from alerting.group import GroupRun, Surroundings
from alerting.metrics import AlertingMetrics
from alerting.rule import Evaluator, RuleGroup
from alerting.schedule import Schedule
from alerting.view import GroupView, group_view
from model.alert import Alert, AlertState
from model.clock import Clock, now_ms
from storage.interface import Appender

_log = logging.getLogger(__name__)
_LONGEST_SLEEP_SECONDS: Final = 1.0  # how soon a wall clock that was set back is noticed


class RuleManager:
    """The rule engine. One thread keeps time, a pool as large as it must be evaluates."""

    def __init__(
        self,
        load: Callable[[], Sequence[RuleGroup]],
        *,
        evaluate: Evaluator,
        appender: Appender,
        send: Callable[[Sequence[Alert]], None],
        state_dir: Path,
        clock: Clock,
        metrics: AlertingMetrics,
        external_url: str = "",
        external_labels: Mapping[str, str] | None = None,
        generator_url: Callable[[str], str] = lambda expr: "",
        resend_delay_seconds: float = 60.0,
        restore_hold_seconds: float = 90.0,
    ) -> None:
        """Nothing runs before ``start``.

        Args:
            load: Gives the groups; raises ConfigError. Called at ``start`` and ``reload``.
            evaluate: Answers instant queries.
            appender: Takes what rules write.
            send: Takes alerts to notify, also those restored; must not wait.
            state_dir: Where alerts are kept; made if it is not there.
            clock: The time.
            metrics: Of the alert engine.
            external_url: Where users reach Taskscope; for links.
            external_labels: ``$externalLabels`` of templates.
            generator_url: Makes the link to an expression.
            resend_delay_seconds: After which a firing alert is handed to ``send`` again.
            restore_hold_seconds: For how long after a start restored alerts do not end for want of data.
        """
        self._load = load
        self._send = send
        self._clock = clock
        self._metrics = metrics
        self._store = AlertStore(state_dir)
        self._around = Surroundings(
            evaluate=evaluate,
            appender=appender,
            store=self._store,
            send=send,
            monotonic=clock.monotonic,
            metrics=metrics,
            context=TemplateContext(external_url, dict(external_labels or {})),
            resend_delay_ms=int(resend_delay_seconds * 1000),
            generator_url=generator_url,
        )
        self._hold_ms = int(restore_hold_seconds * 1000)
        self._lock = threading.RLock()
        self._runs: dict[str, GroupRun] = {}
        self._schedules: dict[str, Schedule] = {}
        self._busy: set[str] = set()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Load the rules, take up the alerts kept on disk, begin to evaluate.

        Raises:
            ConfigError: If the rule files have problems.
            OSError: If the state directory cannot be made.
        """
        groups = self._load()
        self._store.open()
        with self._lock:
            self._restore(groups, now_ms(self._clock))
            self._pool = ThreadPoolExecutor(max(4, len(groups)), "alerting-rules")
            self._stopping = False
            self._thread = threading.Thread(
                target=self._keep_time, name="alerting-clock", daemon=True
            )
            self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Evaluate no more; wait for evaluations under way. Safe twice and before start."""
        thread, pool = self._thread, self._pool
        self._thread = self._pool = None
        if thread is None or pool is None:
            return
        self._stopping = True
        self._wake.set()
        thread.join(timeout_seconds)
        pool.shutdown(wait=False, cancel_futures=True)
        deadline = self._clock.monotonic() + timeout_seconds
        while self._busy and self._clock.monotonic() < deadline:
            threading.Event().wait(0.01)
        if not self._busy:
            pool.shutdown(wait=True)

    def reload(self) -> None:
        """Read the rules again; groups keep their alerts.

        Raises:
            ConfigError: If the rule files have problems; the rules stay as they are.
        """
        groups = {group.key: group for group in self._load()}
        now = now_ms(self._clock)
        ended: list[Alert] = []
        with self._lock:
            for key in [key for key in self._runs if key not in groups]:
                ended.extend(self._runs.pop(key).close(now))
                self._schedules.pop(key)
            for key, group in groups.items():
                old = self._runs.get(key)
                if old is not None and old.group == group:
                    continue
                run = GroupRun(group, self._around)
                if old is not None:
                    ended.extend(run.take_over(old))
                self._add(run, now)
        self._send_ended(ended, now)
        self._wake.set()

    def groups(self) -> list[GroupView]:
        """Return every group with its rules and their alerts, by file and name."""
        with self._lock:
            runs = sorted(self._runs.values(), key=lambda run: (run.group.file, run.group.name))
        return [group_view(run) for run in runs]

    def alerts(self) -> list[Alert]:
        """Return the pending and firing alerts of all rules."""
        with self._lock:
            runs = list(self._runs.values())
        return [
            alert
            for run in runs
            for rule in run.rules
            for alert in rule.alerts.values()
            if alert.state is not AlertState.INACTIVE
        ]

    def late(self) -> str:
        """Say which group is not evaluated on time, "" if all are; for the heartbeat."""
        now = now_ms(self._clock)
        with self._lock:
            for key, schedule in self._schedules.items():
                behind = now - schedule.next_ms
                if behind > schedule.interval_ms:
                    return f"rule group {self._runs[key].group.name} is {behind / 1000:.0f} s late"
        return (
            "" if self._thread is not None and self._thread.is_alive() else "rules are not running"
        )

    def _restore(self, groups: Sequence[RuleGroup], now: int) -> None:
        kept = self._store.load_all()
        known: list[Alert] = []
        ended: list[Alert] = []
        for group in groups:
            run = GroupRun(group, self._around)
            here, gone = run.restore(kept.pop(group.key, {}), now, self._hold_ms)
            known.extend(here)
            ended.extend(gone)
            self._add(run, now)
        for key, rules in kept.items():
            ended.extend(alert for found in rules.values() for alert in found)
            self._store.save(key, {})
        if known:
            _log.info("%d alerts taken up from before the restart", len(known))
            self._send(known)
        self._send_ended(ended, now)

    def _send_ended(self, alerts: Sequence[Alert], now: int) -> None:
        """Tell receivers that the alerts of removed rules are over."""
        firing = [a for a in alerts if a.state is AlertState.FIRING]
        if firing:
            self._send(
                [
                    replace(a, state=AlertState.INACTIVE, resolved_ms=now, last_sent_ms=now)
                    for a in firing
                ]
            )

    def _add(self, run: GroupRun, now: int) -> None:
        key = run.group.key
        schedule = Schedule(key, run.group.interval_ms)
        schedule.start(now)
        self._runs[key], self._schedules[key] = run, schedule

    def _keep_time(self) -> None:
        while not self._stopping:
            now = now_ms(self._clock)
            with self._lock:
                due = [
                    key
                    for key, schedule in self._schedules.items()
                    if key not in self._busy and schedule.is_due(now)
                ]
                for key in due:
                    self._submit(key, now)
                soonest = min(
                    (s.next_ms for key, s in self._schedules.items() if key not in self._busy),
                    default=now + 1000,
                )
            self._wake.wait(min(max((soonest - now) / 1000, 0.001), _LONGEST_SLEEP_SECONDS))
            self._wake.clear()

    def _submit(self, key: str, now: int) -> None:
        run = self._runs[key]
        taken = self._schedules[key].take(now)
        if taken is None:
            return
        ts_ms, missed = taken
        if missed:
            self._metrics.group_missed.labels(key).inc(missed)
            _log.warning("rule group %s missed %d evaluations", run.group.name, missed)
        pool = self._pool
        if pool is not None:
            self._busy.add(key)
            pool.submit(self._evaluate, run, key, ts_ms)

    def _evaluate(self, run: GroupRun, key: str, ts_ms: int) -> None:
        try:
            run.evaluate(ts_ms)
        except Exception:
            _log.exception("rule group %s could not be evaluated", run.group.name)
        finally:
            self._busy.discard(key)
            self._count()
            self._wake.set()

    def _count(self) -> None:
        states = [alert.state for alert in self.alerts()]
        for state in (AlertState.PENDING, AlertState.FIRING):
            self._metrics.alerts.labels(state.value).set(states.count(state))
