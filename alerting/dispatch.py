"""Grouping and timing of notifications: a pure core that a thread drives; the rules are Alertmanager's.

https://prometheus.io/docs/alerting/latest/configuration/#route: the first alert of a group waits
``group_wait`` for others, after that the group is looked at every ``group_interval``.
"""

import json
from collections.abc import Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from model.alert import Alert, AlertState
from model.labels import Labels


class Route(Struct, frozen=True):
    """Which alerts are notified together, and when.

    Attributes:
        group_by: Labels that the alerts of a group have alike.
        group_wait_ms: How long the first alert of a group waits for others.
        group_interval_ms: How often a group is looked at after that.
        key: Name in group keys; Alertmanager's for a root route.
    """

    group_by: tuple[str, ...] = ("alertname", "app")
    group_wait_ms: int = 10_000
    group_interval_ms: int = 60_000
    key: str = "{}"


class AlertGroup(Struct):
    """The alerts that are notified together.

    Attributes:
        route: Where they go.
        labels: What they have in common by ``group_by``.
        key: Alertmanager's group key.
        due_ms: When it is looked at next, on the monotonic clock.
        alerts: By labels.
        expires_ms: Until when each counts as firing if it is not put again, on the monotonic
            clock: a wall clock that jumps must not resolve anything.
    """

    route: Route
    labels: Labels
    key: str
    due_ms: int
    alerts: dict[Labels, Alert] = field(default_factory=dict)
    expires_ms: dict[Labels, int] = field(default_factory=dict)


def group_key(route: Route, labels: Labels) -> str:
    """Return Alertmanager's group key: ``{}:{alertname="X"}``."""
    inside = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels)
    return f"{route.key}:{{{inside}}}"


class Dispatch:
    """The groups there are. Not safe for use from several threads at once."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self.groups: dict[str, AlertGroup] = {}

    def put(self, alerts: Iterable[Alert], now_ms: int, monotonic_ms: int) -> None:
        """Take alerts that fire or have just ended."""
        route = self._route
        for alert in alerts:
            labels = Labels.of((n, v) for n, v in alert.labels if n in route.group_by)
            key = group_key(route, labels)
            group = self.groups.get(key)
            if group is None:
                # who has been firing for longer than the wait has waited already
                waited = alert.fired_ms + route.group_wait_ms < now_ms
                due = monotonic_ms + (0 if waited else route.group_wait_ms)
                group = self.groups[key] = AlertGroup(route, labels, key, due)
            group.alerts[alert.labels] = alert
            group.expires_ms[alert.labels] = monotonic_ms + alert.valid_until_ms - now_ms

    def due(self, monotonic_ms: int) -> list[AlertGroup]:
        """Return the groups to look at now; each is due again one interval later."""
        found = [group for group in self.groups.values() if group.due_ms <= monotonic_ms]
        for group in found:
            group.due_ms = monotonic_ms + group.route.group_interval_ms
        return found

    def next_due_ms(self) -> int | None:
        """Return when the next group is due, None if there is none."""
        return min((group.due_ms for group in self.groups.values()), default=None)

    def forget_resolved(self, group: AlertGroup, alerts: Iterable[Alert]) -> None:
        """Leave out resolved alerts that every receiver has heard of, and the group if none are left."""
        for alert in alerts:
            if alert.state is not AlertState.FIRING:
                group.alerts.pop(alert.labels, None)
                group.expires_ms.pop(alert.labels, None)
        if not group.alerts:
            self.groups.pop(group.key, None)


def at(group: AlertGroup, monotonic_ms: int) -> tuple[Alert, ...]:
    """Return the group's alerts as of now, oldest first; who has not been heard of for too long is resolved."""
    alerts = [
        replace(alert, state=AlertState.INACTIVE, resolved_ms=alert.valid_until_ms)
        if alert.state is AlertState.FIRING and group.expires_ms[alert.labels] < monotonic_ms
        else alert
        for alert in group.alerts.values()
    ]
    return tuple(sorted(alerts, key=lambda a: (a.fired_ms, a.labels)))
