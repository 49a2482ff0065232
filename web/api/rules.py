"""Rules and alerts as Prometheus shows them: ``/api/v1/rules`` and ``alerts``."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, request
from msgspec import Struct

from model.alert import Alert
from model.clock import rfc3339
from model.errors import ParseError
from model.labels import Matcher
from promql.parser import parse
from promql.printer import format_expr
from web.api import params
from web.api.answers import need
from web.api.envelope import success_of
from web.api.numbers import go_float, go_number
from web.api.params import BadParameterError
from web.api.selectors import matcher_sets, matches
from web.parts import Parts

if TYPE_CHECKING:  # see web.parts
    from alerting.view import GroupView, RuleView

_NO_RULES: Final = "This process evaluates no rules; ask the Taskscope server."
_NEVER: Final = "0001-01-01T00:00:00Z"  # Go's zero time
_BOOLEANS: Final = {"": False, "0": False, "f": False, "false": False} | dict.fromkeys(
    ("1", "t", "true"), True
)


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("rules", __name__, url_prefix="/api/v1")

    @routes.get("/rules")
    def rules() -> Response:
        choice = Choice.asked()
        page = Page.asked()
        groups = need(parts.rules, _NO_RULES).groups()
        chosen = (choice.group_json(group) for group in page.begin(groups))
        return success_of(page.cut([group for group in chosen if group["rules"]]))

    @routes.get("/alerts")
    def alerts() -> Response:
        active = need(parts.rules, _NO_RULES).alerts()
        return success_of({"alerts": [alert_json(alert) for alert in active]})

    return routes


class Choice(Struct, frozen=True):
    """Which rules are asked for; empty collections are no condition.

    Attributes:
        kind: ``alerting`` or ``recording``, None for both.
        names: Names of rules.
        groups: Names of groups.
        files: Files of groups.
        selectors: Matchers of the labels as they are written; one of the sets has to fit.
        alerts: Whether alerting rules are shown with their alerts.
    """

    kind: str | None
    names: frozenset[str]
    groups: frozenset[str]
    files: frozenset[str]
    selectors: Sequence[Sequence[Matcher]]
    alerts: bool

    @classmethod
    def asked(cls) -> "Choice":
        """Read the request.

        Raises:
            BadParameterError: If a parameter cannot be used.
        """
        selectors = matcher_sets()
        kind = request.args.get("type", "").lower()
        if kind not in ("", "alert", "record"):
            raise BadParameterError(f'invalid parameter "type": not supported value "{kind}"')
        return cls(
            kind={"alert": "alerting", "record": "recording"}.get(kind),
            names=frozenset(params.asked().texts("rule_name[]")),
            groups=frozenset(params.asked().texts("rule_group[]")),
            files=frozenset(params.asked().texts("file[]")),
            selectors=selectors,
            alerts=not _exclude_alerts(),
        )

    def group_json(self, group: "GroupView") -> dict[str, Any]:
        """Return a group with those of its rules that are asked for."""
        rules: Iterable[RuleView] = group.rules
        if (self.groups and group.name not in self.groups) or (
            self.files and group.file not in self.files
        ):
            rules = ()
        return {
            "name": group.name,
            "file": group.file,
            "rules": [rule_json(rule, alerts=self.alerts) for rule in rules if self._fits(rule)],
            "interval": go_number(group.interval_seconds),
            "limit": group.limit,
            "evaluationTime": go_number(group.evaluation_seconds),
            "lastEvaluation": go_time(group.last_evaluation_ms),
        }

    def _fits(self, rule: "RuleView") -> bool:
        return (
            self.kind in (None, rule.kind)
            and (not self.names or rule.name in self.names)
            and (not self.selectors or any(matches(one, rule.labels) for one in self.selectors))
        )


def _exclude_alerts() -> bool:
    raw = request.args.get("exclude_alerts", "").lower()
    if raw not in _BOOLEANS:
        raise BadParameterError(
            'invalid parameter "exclude_alerts": error converting exclude_alerts: '
            f'strconv.ParseBool: parsing "{raw}": invalid syntax'
        )
    return _BOOLEANS[raw]


class Page(Struct, frozen=True):
    """Some groups of many: ``group_limit`` of them, from the one that ``group_next_token`` names."""

    limit: int
    token: str

    @classmethod
    def asked(cls) -> "Page":
        """Read the request.

        Raises:
            BadParameterError: If a parameter cannot be used.
        """
        raw, token = request.args.get("group_limit", ""), request.args.get("group_next_token", "")
        if token and not raw:
            raise BadParameterError(
                'invalid parameter "group_next_token": group_limit needs to be present in order to '
                "paginate over the groups"
            )
        limit = params.whole_number(raw or "1")
        if limit is None:
            raise BadParameterError(
                'invalid parameter "group_limit": group_limit needs to be a valid number: '
                f'strconv.ParseInt: parsing "{raw}": invalid syntax'
            )
        if limit <= 0:
            raise BadParameterError(
                'invalid parameter "group_limit": group_limit needs to be greater than 0'
            )
        return cls(limit if raw else 0, token)

    def begin(self, groups: "Sequence[GroupView]") -> "Sequence[GroupView]":
        """Return the groups from the page's first on.

        Raises:
            BadParameterError: If there is no such group any more.
        """
        if not self.token:
            return groups
        for place, group in enumerate(groups):
            if _token(group.file, group.name) == self.token:
                return groups[place:]
        raise BadParameterError(
            f"invalid parameter \"group_next_token\": invalid group_next_token '{self.token}'. "
            "were rule groups changed?"
        )

    def cut(self, groups: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the page, with the token of the next one if there is one."""
        if not self.limit or len(groups) <= self.limit:
            return {"groups": groups}
        following = groups[self.limit]
        token = _token(following["file"], following["name"])
        return {"groups": groups[: self.limit], "groupNextToken": token}


def _token(file: str, name: str) -> str:
    return hashlib.sha256(f"{file};{name}".encode()).hexdigest()


def rule_json(rule: "RuleView", *, alerts: bool = True) -> dict[str, Any]:
    """Return one rule; ``alerts`` are null where they are not wanted."""
    shared = {
        "labels": dict(rule.labels),
        **(_alerting(rule, alerts=alerts) if rule.kind == "alerting" else {}),
        "health": rule.health,
        **({"lastError": rule.last_error} if rule.last_error else {}),
        "evaluationTime": go_number(rule.evaluation_seconds),
        "lastEvaluation": go_time(rule.last_evaluation_ms),
        "type": rule.kind,
    }
    named = {"name": rule.name, "query": _printed(rule.query)}
    if rule.kind == "recording":
        return {**named, **shared}
    return {
        "state": rule.state.value,
        **named,
        "duration": go_number(rule.duration_seconds),
        "keepFiringFor": go_number(rule.keep_firing_for_seconds),
        **shared,
    }


def _alerting(rule: "RuleView", *, alerts: bool) -> dict[str, Any]:
    return {
        "annotations": dict(rule.annotations),
        "alerts": [alert_json(alert) for alert in rule.alerts] if alerts else None,
    }


@lru_cache(maxsize=2048)
def _printed(query: str) -> str:
    """Return a rule's expression as Prometheus writes it."""
    try:
        return format_expr(parse(query))
    except ParseError:
        return query


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
