"""Rule groups as others see them: plain data for the rules API, the console and the command line."""

from typing import Literal

from msgspec import Struct

from alerting.alerting_rule import Alerts
from alerting.group import GroupRun, RuleRun
from alerting.rule import AlertingRule
from model.alert import Alert, AlertState
from model.labels import Labels


class RuleView(Struct, frozen=True):
    """One rule.

    Attributes:
        kind: ``alerting`` or ``recording``.
        name: The alert's or the metric's.
        query: The expression.
        labels: As written; alert labels may be templates.
        annotations: As written.
        duration_seconds: ``for``.
        keep_firing_for_seconds: ``keep_firing_for``.
        state: The most serious of its alerts; inactive for recording rules.
        alerts: Pending and firing ones.
        health: ``unknown``, ``ok`` or ``err``.
        last_error: "" if the last evaluation went well.
        evaluation_seconds: How long it took.
        last_evaluation_ms: 0 for never.
    """

    kind: Literal["alerting", "recording"]
    name: str
    query: str
    labels: Labels
    annotations: Labels
    duration_seconds: float
    keep_firing_for_seconds: float
    state: AlertState
    alerts: tuple[Alert, ...]
    health: str
    last_error: str
    evaluation_seconds: float
    last_evaluation_ms: int


class GroupView(Struct, frozen=True):
    """One group; see ``alerting.rule.RuleGroup``."""

    name: str
    file: str
    interval_seconds: float
    limit: int
    query_offset_seconds: float
    rules: tuple[RuleView, ...]
    evaluation_seconds: float
    last_evaluation_ms: int


def group_view(run: GroupRun) -> GroupView:
    """Return a group as it is now."""
    group = run.group
    return GroupView(
        name=group.name,
        file=group.file,
        interval_seconds=group.interval_ms / 1000,
        limit=group.limit,
        query_offset_seconds=group.query_offset_ms / 1000,
        rules=tuple(_rule_view(rule) for rule in run.rules),
        evaluation_seconds=run.evaluation_seconds,
        last_evaluation_ms=run.last_evaluation_ms,
    )


def _rule_view(run: RuleRun) -> RuleView:
    rule, alerts = run.rule, run.alerts
    active = tuple(a for a in alerts.values() if a.state is not AlertState.INACTIVE)
    alerting = rule if isinstance(rule, AlertingRule) else None
    return RuleView(
        kind="alerting" if alerting else "recording",
        name=rule.name,
        query=rule.expr,
        labels=Labels.of((n, t if isinstance(t, str) else t.source) for n, t in rule.labels),
        annotations=Labels.of((n, t.source) for n, t in alerting.annotations)
        if alerting
        else Labels(),
        duration_seconds=alerting.for_ms / 1000 if alerting else 0.0,
        keep_firing_for_seconds=alerting.keep_firing_for_ms / 1000 if alerting else 0.0,
        state=_state(alerts),
        alerts=active,
        health=run.health,
        last_error=run.last_error,
        evaluation_seconds=run.evaluation_seconds,
        last_evaluation_ms=run.last_evaluation_ms,
    )


def _state(alerts: Alerts) -> AlertState:
    states = {alert.state for alert in alerts.values()}
    for state in (AlertState.FIRING, AlertState.PENDING):
        if state in states:
            return state
    return AlertState.INACTIVE
