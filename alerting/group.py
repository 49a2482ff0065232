"""One rule group at work: evaluates its rules in order, keeps their alerts, writes their series."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from alerting import alerting_rule, recording_rule
from alerting.alert_store import AlertStore
from alerting.alerting_rule import TemplateContext
from alerting.metrics import AlertingMetrics
from alerting.rule import AlertingRule, Evaluator, RecordingRule, Rule, RuleGroup
from alerting.series_writer import SeriesWriter
from model.alert import Alert, AlertState
from model.errors import TaskscopeError, reason_of
from model.labels import Labels
from storage.interface import Appender

_log = logging.getLogger(__name__)


class RuleRun(Struct):
    """One rule and what became of it so far.

    Attributes:
        rule: Its definition.
        key: Name that finds it again after a restart or reload: kind, name and position among
            the rules of that name.
        writer: Its series.
        alerts: By labels; empty for recording rules.
        health: ``unknown`` before the first evaluation, then ``ok`` or ``err``.
        last_error: Of the last evaluation, "" if it went well.
        evaluation_seconds: How long the last evaluation took.
        last_evaluation_ms: When that was, 0 for never.
    """

    rule: Rule
    key: str
    writer: SeriesWriter
    alerts: dict[Labels, Alert]
    health: str = "unknown"
    last_error: str = ""
    evaluation_seconds: float = 0.0
    last_evaluation_ms: int = 0


class Surroundings(Struct, frozen=True):
    """What every group needs from outside.

    Attributes:
        evaluate: Answers instant queries.
        appender: Takes the series.
        store: Keeps the alerts on disk.
        send: Takes the alerts that are to be notified.
        monotonic: Seconds, for durations.
        metrics: Of the alert engine.
        context: For templates.
        resend_delay_ms: After which a firing alert is handed to ``send`` again.
        generator_url: Makes the link to an expression.
    """

    evaluate: Evaluator
    appender: Appender
    store: AlertStore
    send: Callable[[Sequence[Alert]], None]
    monotonic: Callable[[], float]
    metrics: AlertingMetrics
    context: TemplateContext
    resend_delay_ms: int
    generator_url: Callable[[str], str]


class GroupRun:
    """One group. ``evaluate`` may be called from any thread; calls of one group wait for each other."""

    def __init__(self, group: RuleGroup, around: Surroundings) -> None:
        self.group = group
        self._around = around
        self._lock = threading.Lock()
        self.rules = [
            RuleRun(rule, key, SeriesWriter(around.appender), {})
            for rule, key in zip(group.rules, _keys(group.rules), strict=True)
        ]
        self.evaluation_seconds = 0.0
        self.last_evaluation_ms = 0
        self._on_disk: object = {}
        self._disk_works = True
        self._closed = False
        self._held: frozenset[Labels] = frozenset()
        self._hold_until_ms = 0
        around.metrics.know_group(group.key, group.interval_ms / 1000)

    def restore(
        self, alerts: Mapping[str, Sequence[Alert]], now_ms: int, hold_ms: int
    ) -> tuple[list[Alert], list[Alert]]:
        """Take the alerts that were on disk, before the first evaluation.

        For ``hold_ms`` none of them ends only because the expression does not give it: the samples
        of the time before the restart may be gone, those after it may not be there yet.

        Returns:
            ``(known, orphans)``: the alerts that notification must know of, with their validity
            counted from now; and those whose rule is gone.
        """
        by_key = {run.key: run for run in self.rules if isinstance(run.rule, AlertingRule)}
        known: list[Alert] = []
        orphans: list[Alert] = []
        valid = now_ms + 4 * max(self._around.resend_delay_ms, self.group.interval_ms)
        for key, found in alerts.items():
            run = by_key.get(key)
            if run is None:
                orphans.extend(found)
                continue
            for alert in found:
                alive = (
                    alert
                    if alert.state is AlertState.PENDING
                    else replace(alert, valid_until_ms=valid)
                )
                run.alerts[alive.labels] = alive
                if alive.state is not AlertState.PENDING:
                    known.append(alive)
        for run in by_key.values():
            run.writer.resume(alerting_rule.series(run.alerts)[0])
        self._held = frozenset(labels for run in self.rules for labels in run.alerts)
        self._hold_until_ms = now_ms + hold_ms
        self._on_disk = self._lasting()
        return known, orphans

    def take_over(self, other: "GroupRun") -> list[Alert]:
        """Go on with the state of this group as it was defined before; return the alerts of rules that are gone."""
        with other._lock:  # noqa: SLF001 - the same class
            mine = {run.key: run for run in self.rules}
            orphans: list[Alert] = []
            for run in other.rules:
                heir = mine.get(run.key)
                if heir is None:
                    orphans.extend(run.alerts.values())
                    run.writer.forget(max(other.last_evaluation_ms, run.last_evaluation_ms))
                    continue
                heir.alerts, heir.writer = run.alerts, run.writer
                heir.health, heir.last_error = run.health, run.last_error
                heir.evaluation_seconds = run.evaluation_seconds
                heir.last_evaluation_ms = run.last_evaluation_ms
            self.last_evaluation_ms = other.last_evaluation_ms
            self.evaluation_seconds = other.evaluation_seconds
            self._held, self._hold_until_ms = other._held, other._hold_until_ms  # noqa: SLF001
            self._on_disk = {}
            other._closed = True  # noqa: SLF001
        return orphans

    def evaluate(self, now_ms: int) -> None:
        """Evaluate every rule at one time, keep the alerts, then hand over those to notify."""
        with self._lock:
            if self._closed:  # by a reload, while this evaluation waited for its turn
                return
            started = self._around.monotonic()
            to_send: list[Alert] = []
            for run in self.rules:
                self._evaluate_rule(run, now_ms, to_send)
            self._save()
            self.evaluation_seconds = self._around.monotonic() - started
            self.last_evaluation_ms = now_ms
            metrics, key = self._around.metrics, self.group.key
            metrics.group_duration.labels(key).set(self.evaluation_seconds)
            metrics.group_last_evaluation.labels(key).set(now_ms / 1000)
        if to_send:
            self._around.send(to_send)

    def close(self, now_ms: int) -> list[Alert]:
        """End a group that is no longer configured; return its alerts."""
        with self._lock:
            self._closed = True
            for run in self.rules:
                run.writer.forget(now_ms)
            try:
                self._around.store.save(self.group.key, {})
            except OSError as error:
                self._cannot_save(error)
            self._around.metrics.forget_group(self.group.key)
            return [alert for run in self.rules for alert in run.alerts.values()]

    def _evaluate_rule(self, run: RuleRun, now_ms: int, to_send: list[Alert]) -> None:
        started = self._around.monotonic()
        try:
            if isinstance(run.rule, RecordingRule):
                self._record(run, run.rule, now_ms)
            else:
                self._alert(run, run.rule, now_ms)
            run.health, run.last_error = "ok", ""
        except TaskscopeError as error:
            self._failed(run, str(error))
        except Exception as error:
            _log.exception("rule %s of group %s failed", run.rule.name, self.group.name)
            self._failed(run, f"{type(error).__name__}: {error}")
        # also after an error: who is told nothing for minutes takes the alert for resolved
        run.alerts, sent = alerting_rule.to_send(
            run.alerts, now_ms, self.group.interval_ms, self._around.resend_delay_ms
        )
        to_send.extend(sent)
        run.evaluation_seconds = self._around.monotonic() - started
        run.last_evaluation_ms = now_ms

    def _failed(self, run: RuleRun, error: str) -> None:
        if run.health != "err":
            _log.warning("rule %s of group %s: %s", run.rule.name, self.group.name, error)
        run.health, run.last_error = "err", error
        self._around.metrics.rule_failures.labels(self.group.key).inc()

    def _record(self, run: RuleRun, rule: RecordingRule, now_ms: int) -> None:
        ts_ms = now_ms - self.group.query_offset_ms
        vector = self._around.evaluate(rule.expr, ts_ms)
        labels = recording_rule.relabel(rule, vector, self.group.limit)
        run.writer.write(labels, vector.values, ts_ms)

    def _alert(self, run: RuleRun, rule: AlertingRule, now_ms: int) -> None:
        ts_ms = now_ms - self.group.query_offset_ms
        run.alerts = alerting_rule.step(
            rule,
            run.alerts,
            self._around.evaluate(rule.expr, ts_ms),
            now_ms,
            self._around.context,
            limit=self.group.limit,
            held=self._held if now_ms < self._hold_until_ms else (),
            generator_url=self._around.generator_url(rule.expr),
        )
        labels, values = alerting_rule.series(run.alerts)
        run.writer.write(labels, np.array(values, dtype=np.float64), ts_ms)

    def _lasting(self) -> object:
        return {run.key: alerting_rule.lasting(run.alerts) for run in self.rules if run.alerts}

    def _save(self) -> None:
        now = self._lasting()
        if now == self._on_disk:
            return
        try:
            self._around.store.save(
                self.group.key,
                {run.key: tuple(run.alerts.values()) for run in self.rules if run.alerts},
            )
            self._on_disk = now
            self._disk_works = True
        except OSError as error:
            self._cannot_save(error)

    def _cannot_save(self, error: OSError) -> None:
        self._around.metrics.state_failures.inc()
        if self._disk_works:
            _log.error(
                "alert state cannot be kept on disk, a restart may repeat pages: %s",
                reason_of(error),
            )
        self._disk_works = False


def _keys(rules: Sequence[Rule]) -> list[str]:
    seen: dict[str, int] = {}
    keys = []
    for rule in rules:
        name = f"{'alert' if isinstance(rule, AlertingRule) else 'record'} {rule.name}"
        seen[name] = seen.get(name, 0) + 1
        keys.append(f"{name} {seen[name]}")
    return keys
