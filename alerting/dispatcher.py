"""Drives ``dispatch`` and hands each group's notification to the receivers' queues."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from alerting.dispatch import AlertGroup, Dispatch, Route, at
from alerting.metrics import AlertingMetrics
from alerting.notification import Notification, Reason
from alerting.notify import Notifier
from alerting.notify_log import NotifyLog
from alerting.receiver.base import Receiver
from model.alert import Alert, AlertState
from model.clock import Clock, now_ms

_log = logging.getLogger(__name__)


class Dispatcher:
    """Takes alerts, tells receivers."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        *,
        state_dir: Path,
        clock: Clock,
        metrics: AlertingMetrics,
        group_by: Sequence[str] = ("alertname", "app"),
        group_wait_seconds: float = 10.0,
        group_interval_seconds: float = 60.0,
        repeat_interval_seconds: float = 4 * 3600.0,
        external_url: str = "",
        enrich: Callable[[Notification], Notification] = lambda notification: notification,
    ) -> None:
        """Nothing runs before ``start``.

        Args:
            receivers: Each hears of every group.
            state_dir: Where it is kept what was said; made if it is not there.
            clock: The time.
            metrics: Of the alert engine.
            group_by: Labels by which alerts are notified together.
            group_wait_seconds: How long the first alert of a group waits for others.
            group_interval_seconds: How often a group is looked at after that.
            repeat_interval_seconds: After which the same is said again.
            external_url: Where users reach Taskscope.
            enrich: Adds evidence to a notification before it goes out; must not raise.
        """
        repeat_ms = int(repeat_interval_seconds * 1000)
        self._clock = clock
        self._external_url = external_url
        self._log = NotifyLog(state_dir, repeat_ms)
        self._notifiers = [
            Notifier(
                r,
                log=self._log,
                repeat_interval_ms=repeat_ms,
                clock=clock,
                metrics=metrics,
                enrich=enrich,
            )
            for r in receivers
        ]
        route = Route(
            group_by=tuple(group_by),
            group_wait_ms=int(group_wait_seconds * 1000),
            group_interval_ms=int(group_interval_seconds * 1000),
        )
        self._dispatch = Dispatch(route)
        self._condition = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read what was said before and begin to dispatch.

        Raises:
            OSError: If the state directory cannot be written to.
        """
        self._log.open(now_ms(self._clock))
        for notifier in self._notifiers:
            notifier.start()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="alerting-dispatch", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Take no more, deliver what is due, end. Safe twice and before start."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None
        for notifier in self._notifiers:
            notifier.stop(timeout_seconds)
        self._log.close()

    def put(self, alerts: Sequence[Alert]) -> None:
        """Take alerts that fire or are over; returns at once."""
        with self._condition:
            self._dispatch.put(alerts, now_ms(self._clock), self._monotonic_ms())
            self._condition.notify()

    def _monotonic_ms(self) -> int:
        return int(self._clock.monotonic() * 1000)

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._stopping:
                    return
                try:
                    self._look()
                except Exception:
                    _log.exception("alerts could not be dispatched")
                due = self._dispatch.next_due_ms()
                pause = None if due is None else max(0.001, (due - self._monotonic_ms()) / 1000)
                self._condition.wait(pause)

    def _look(self) -> None:
        for group in self._dispatch.due(self._monotonic_ms()):
            alerts = at(group, self._monotonic_ms())
            if not self._tell(group, alerts):
                self._dispatch.forget_resolved(group, alerts)

    def _tell(self, group: AlertGroup, alerts: tuple[Alert, ...]) -> bool:
        """Queue a group's notification where it is news; return whether it was for anybody."""
        news = False
        firing_first = tuple(sorted(alerts, key=lambda a: a.state is not AlertState.FIRING))
        for notifier in self._notifiers:
            notification = Notification(
                notifier.receiver.name,
                group.key,
                group.labels,
                firing_first,
                Reason.FIRST,
                self._external_url,
            )
            if notifier.reason(notification) is not None:
                notifier.submit(notification)
                news = True
        return news
