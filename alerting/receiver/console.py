"""Writes notifications where a person reads along."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from alerting.notification import Notification
from alerting.receiver.base import Receiver
from model.alert import Alert, AlertState

_MOST_ALERTS: Final = 5
# what the alert says beside its annotations, in the order people read it
_SHOWN_LABELS: Final = ("severity", "app", "task_name", "instance", "host")


class ConsoleReceiver(Struct, frozen=True):
    """One line per alert, its last log lines indented below it.

    Attributes:
        write: Takes one line without its end.
    """

    write: Callable[[str], None]
    name: str = "console"
    send_resolved: bool = True

    def send(self, notification: Notification) -> None:
        """See ``Receiver.send``; a console never refuses."""
        for alert in notification.alerts[:_MOST_ALERTS]:
            for line in _lines(alert):
                self.write(line)
        more = len(notification.alerts) - _MOST_ALERTS
        if more > 0:
            self.write(f"       ... and {more} more in group {printable(notification.group_key)}")


def _lines(alert: Alert) -> list[str]:
    firing = alert.state is AlertState.FIRING
    at = datetime.fromtimestamp((alert.fired_ms if firing else alert.resolved_ms) / 1000, UTC)
    labels = " ".join(f"{n}={alert.labels.get(n)}" for n in _SHOWN_LABELS if alert.labels.get(n))
    summary = alert.annotations.get("summary")
    head = f"{at:%H:%M:%S}Z {'FIRING' if firing else 'RESOLVED'} {alert.labels.get('alertname')}"
    out = [printable(f"{head} {labels}{': ' if summary else ''}{summary}")]
    if firing:
        out += [
            printable(f"       {word}: {alert.annotations.get(name)}")
            for name, word in (
                ("last_exit", "last exit"),
                ("task_url", "task"),
                ("logs_url", "logs"),
            )
            if alert.annotations.get(name)
        ]
        out += [
            printable(f"       | {line}") for line in alert.annotations.get("logs").splitlines()
        ]
    return out


def printable(text: str) -> str:
    """Return text without control characters: what a task prints must not steer the reader's terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


if TYPE_CHECKING:
    _: type[Receiver] = ConsoleReceiver
