"""Rules, alerts and scrape targets as Prometheus shows them: ``/api/v1/{rules,alerts,targets}``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response

from model.alert import Alert
from model.clock import rfc3339
from web.api import params
from web.api.answers import need
from web.api.envelope import success_of
from web.api.numbers import go_float
from web.parts import Parts

if TYPE_CHECKING:  # see web.parts
    from alerting.view import GroupView, RuleView

_NO_RULES: Final = "This process evaluates no rules; ask the Taskscope server."
_NO_TARGETS: Final = "This process scrapes no targets."
_NEVER: Final = "0001-01-01T00:00:00Z"  # Go's zero time


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("rules", __name__, url_prefix="/api/v1")

    @routes.get("/rules")
    def rules() -> Response:
        kind = params.text("type")
        if kind not in ("", "alert", "record"):
            raise params.BadParameterError(
                f'invalid parameter "type": not supported value {kind!r}'
            )
        wanted = {"alert": "alerting", "record": "recording"}.get(kind)
        groups = [group_json(group, wanted) for group in need(parts.rules, _NO_RULES).groups()]
        names, group_names = params.texts("rule_name[]"), params.texts("rule_group[]")
        files = params.texts("file[]")
        chosen = []
        for group in groups:
            if (group_names and group["name"] not in group_names) or (
                files and group["file"] not in files
            ):
                continue
            if names:
                group["rules"] = [rule for rule in group["rules"] if rule["name"] in names]
            if group["rules"] or not (names or wanted):
                chosen.append(group)
        return success_of({"groups": chosen})

    @routes.get("/alerts")
    def alerts() -> Response:
        active = need(parts.rules, _NO_RULES).alerts()
        return success_of({"alerts": [alert_json(alert) for alert in active]})

    @routes.get("/targets")
    def targets() -> Response:
        return success_of(need(parts.targets, _NO_TARGETS)())

    return routes


def group_json(group: "GroupView", kind: str | None = None) -> dict[str, Any]:
    """Return one rule group, with rules of one kind only if asked."""
    return {
        "name": group.name,
        "file": group.file,
        "rules": [rule_json(rule) for rule in group.rules if kind in (None, rule.kind)],
        "interval": group.interval_seconds,
        "limit": group.limit,
        "evaluationTime": group.evaluation_seconds,
        "lastEvaluation": go_time(group.last_evaluation_ms),
    }


def rule_json(rule: "RuleView") -> dict[str, Any]:
    """Return one rule."""
    shared = {
        "name": rule.name,
        "query": rule.query,
        "labels": dict(rule.labels),
        "health": rule.health,
        **({"lastError": rule.last_error} if rule.last_error else {}),
        "evaluationTime": rule.evaluation_seconds,
        "lastEvaluation": go_time(rule.last_evaluation_ms),
        "type": rule.kind,
    }
    if rule.kind == "recording":
        return shared
    return {
        "state": rule.state.value,
        "duration": rule.duration_seconds,
        "keepFiringFor": rule.keep_firing_for_seconds,
        "annotations": dict(rule.annotations),
        "alerts": alerts_json(rule.alerts),
        **shared,
    }


def alerts_json(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Return the alerts of one rule."""
    return [alert_json(alert) for alert in alerts]


def alert_json(alert: Alert) -> dict[str, Any]:
    """Return one alert."""
    since = alert.keep_firing_since_ms
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "activeAt": go_time(alert.active_ms),
        **({"keepFiringSince": go_time(since)} if since else {}),
        "value": _exponent(alert.value),
    }


def _exponent(value: float) -> str:
    """Return a value as Go's ``FormatFloat(v, 'e', -1, 64)``, which this one field has."""
    plain = go_float(value)
    if plain in ("NaN", "+Inf", "-Inf"):
        return plain
    # 17 digits always lead back to the same value
    return next(text for n in range(17) if float(text := f"{value:.{n}e}") == value)


def go_time(ms: int) -> str:
    """Return a time as Go writes it; Go's zero time for 0."""
    return rfc3339(ms) if ms else _NEVER
