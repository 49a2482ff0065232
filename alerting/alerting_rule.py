"""The state machine of one alerting rule: (alerts, vector, now) -> alerts. Pure; no clock, no I/O.

The steps are Prometheus's (rules/alerting.go, and prometheus/compliance alert_generator), except
that an error leaves the alerts as they were: Prometheus forgets them when a rule is over its limit.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from alerting.rule import AlertingRule, Vector
from alerting.template import RenderError, Template
from model.alert import Alert, AlertState
from model.errors import TaskscopeError
from model.labels import METRIC_NAME, Labels

RESOLVED_RETENTION_MS: Final = 15 * 60_000
ALERTNAME: Final = "alertname"


class RuleError(TaskscopeError):
    """A rule's results cannot be used; its alerts stay as they are."""


class TemplateContext(Struct, frozen=True):
    """What templates can see besides the result itself."""

    external_url: str = ""
    external_labels: Mapping[str, str] = field(default_factory=dict)


Alerts = Mapping[Labels, Alert]


def step(
    rule: AlertingRule,
    active: Alerts,
    vector: Vector,
    now_ms: int,
    context: TemplateContext,
    *,
    limit: int = 0,
    held: Collection[Labels] = (),
    generator_url: str = "",
) -> dict[Labels, Alert]:
    """Return the rule's alerts after one evaluation: pending, firing, and those lately resolved.

    Args:
        rule: The rule.
        active: The alerts after the evaluation before.
        vector: What the expression gave now.
        now_ms: The evaluation's time.
        context: For templates.
        limit: Most alerts pending or firing, 0 for any number.
        held: Alerts that stay as they are though the expression does not give them (restored from
            disk a moment ago: their samples may not have been taken again yet).
        generator_url: Link to the expression.

    Raises:
        RuleError: If two results have the same labels, or there are more than ``limit``.
    """
    found = _found(rule, vector, now_ms, context, generator_url)
    merged = dict(active)
    for labels, new in found.items():
        old = active.get(labels)
        if old is None or old.state is AlertState.INACTIVE:
            merged[labels] = new
        else:
            merged[labels] = replace(
                old, value=new.value, annotations=new.annotations, generator_url=generator_url
            )
    out = {}
    for labels, alert in merged.items():
        after: Alert | None = alert
        if labels in found:
            after = _holds(rule, alert, now_ms)
        elif labels not in held:
            after = _gone(rule, alert, now_ms)
        if after is not None:
            out[labels] = after
    count = sum(alert.state is not AlertState.INACTIVE for alert in out.values())
    if limit and count > limit:
        raise RuleError(f"exceeded limit of {limit} with {count} alerts")
    return out


def _found(
    rule: AlertingRule, vector: Vector, now_ms: int, context: TemplateContext, generator_url: str
) -> dict[Labels, Alert]:
    found: dict[Labels, Alert] = {}
    for row, value in zip(vector.labels.rows(), vector.values.tolist(), strict=True):
        source = dict(row)
        labels = {name: text for name, text in source.items() if name != METRIC_NAME}
        labels |= _expand(rule.labels, source, value, context)
        labels[ALERTNAME] = rule.name
        key = Labels.of(labels)
        if key in found:
            raise RuleError(
                "vector contains metrics with the same labelset after applying alert labels"
            )
        annotations = Labels.of(_expand(rule.annotations, source, value, context))
        found[key] = Alert(
            key, annotations, AlertState.PENDING, value, now_ms, generator_url=generator_url
        )
    return found


def _expand(
    texts: Iterable[tuple[str, Template]],
    labels: Mapping[str, str],
    value: float,
    context: TemplateContext,
) -> dict[str, str]:
    dot = {
        "Labels": labels,
        "ExternalLabels": context.external_labels,
        "ExternalURL": context.external_url,
        "Value": value,
    }
    variables = {
        "labels": labels,
        "externalLabels": context.external_labels,
        "externalURL": context.external_url,
        "value": value,
    }
    out = {}
    for name, text in texts:
        try:
            out[name] = text.source if text.constant else text.render(dot, variables)
        except RenderError as error:
            # the alert matters more than its wording, so it goes out with the error in its place
            out[name] = f"<error expanding template: {error}>"
    return out


def _holds(rule: AlertingRule, alert: Alert, now_ms: int) -> Alert:
    if alert.keep_firing_since_ms:
        alert = replace(alert, keep_firing_since_ms=0)
    if alert.state is AlertState.PENDING and now_ms - alert.active_ms >= rule.for_ms:
        return replace(alert, state=AlertState.FIRING, fired_ms=now_ms)
    return alert


def _gone(rule: AlertingRule, alert: Alert, now_ms: int) -> Alert | None:
    if alert.state is AlertState.PENDING:
        return None
    if alert.state is AlertState.INACTIVE:
        return alert if now_ms - alert.resolved_ms <= RESOLVED_RETENTION_MS else None
    if rule.keep_firing_for_ms:
        since = alert.keep_firing_since_ms or now_ms
        if now_ms - since < rule.keep_firing_for_ms:
            return replace(alert, keep_firing_since_ms=since)
    return replace(alert, state=AlertState.INACTIVE, resolved_ms=now_ms, keep_firing_since_ms=0)


def to_send(
    alerts: Alerts, now_ms: int, interval_ms: int, resend_delay_ms: int
) -> tuple[dict[Labels, Alert], list[Alert]]:
    """Choose the alerts to hand to notification now.

    Firing alerts are sent again after ``resend_delay_ms``, resolved ones too for as long as they
    are remembered. ``valid_until_ms`` is 4 x max(resend delay, interval) ahead.

    Returns:
        ``(alerts, sent)``: all alerts with their times of sending, and those to send.
    """
    after = dict(alerts)
    sent = []
    for labels, alert in alerts.items():
        if needs_sending(alert, now_ms, resend_delay_ms):
            valid = now_ms + 4 * max(resend_delay_ms, interval_ms)
            after[labels] = replace(alert, last_sent_ms=now_ms, valid_until_ms=valid)
            sent.append(after[labels])
    return after, sent


def needs_sending(alert: Alert, now_ms: int, resend_delay_ms: int) -> bool:
    """Tell whether an alert is to be handed to notification."""
    if alert.state is AlertState.PENDING:
        return False
    if alert.resolved_ms > alert.last_sent_ms:
        return True
    return alert.last_sent_ms + resend_delay_ms < now_ms


def series(alerts: Alerts) -> tuple[list[Labels], list[float]]:
    """Return a rule's ``ALERTS`` and ``ALERTS_FOR_STATE`` series and their values."""
    labels, values = [], []
    for alert in alerts.values():
        if alert.state is AlertState.INACTIVE:
            continue
        pairs = dict(alert.labels)
        labels.append(Labels.of({**pairs, METRIC_NAME: "ALERTS", "alertstate": alert.state.value}))
        values.append(1.0)
        labels.append(Labels.of({**pairs, METRIC_NAME: "ALERTS_FOR_STATE"}))
        values.append(math.floor(alert.active_ms / 1000))
    return labels, values


def lasting(alerts: Alerts) -> dict[Labels, tuple[object, ...]]:
    """Return what of the alerts must outlive a crash; values and texts may lag behind on disk."""
    return {
        labels: (
            a.state,
            a.active_ms,
            a.fired_ms,
            a.resolved_ms,
            a.keep_firing_since_ms,
            a.last_sent_ms,
        )
        for labels, a in alerts.items()
    }
