"""What a person wants to see with an alert: how the task ended, its last log lines, where to look further."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from alerting.metrics import AlertingMetrics
from alerting.notification import Notification
from model.alert import Alert, AlertState
from model.clock import Clock, now_ms
from model.identity import prometheus_labels
from model.labels import Labels
from model.task import Run, Task, TaskSource, describe_exit
from storage.interface import LogPage, LogQuery, LogReader
from storage.logquery import quoted

_log = logging.getLogger(__name__)
_WINDOW_MS: Final = 15 * 60_000  # how far back log lines may be
_AFTER_END_MS: Final = 2000  # what a task wrote last may be stamped a little after its end
_BEFORE_ALERT_MS: Final = 2 * 60_000  # an end this long before the alert is still its cause
_MOST_SEARCHES: Final = 4  # at the same time; more would only queue behind a store that hangs
_LONGEST_LINE: Final = 500
_LINES_OF_RECORD: Final = 8  # of a stack trace


class Subject(Struct, frozen=True):
    """What an alert is about.

    Attributes:
        query: For its log lines, in the log query language; "" if they cannot be named.
        task: The task that ended or is sick; None for an alert that is about none.
        run: The ended run that the alert is about; None if the task is sick, not ended.
    """

    query: str = ""
    task: Task | None = None
    run: Run | None = None


class EvidenceFinder:
    """Adds evidence to notifications. Whatever fails, the notification goes out."""

    def __init__(
        self,
        logs: LogReader,
        tasks: TaskSource,
        *,
        clock: Clock,
        metrics: AlertingMetrics,
        external_url: str = "",
        lines: int = 10,
        timeout_seconds: float = 3.0,
        most_alerts: int = 5,
    ) -> None:
        """Reads nothing yet.

        Args:
            logs: Where log lines are; they were redacted before they were stored.
            tasks: Which tasks there are and how they ended.
            clock: The time.
            metrics: Of the alert engine.
            external_url: Where users reach Taskscope.
            lines: Most log lines of one alert.
            timeout_seconds: For all reading of one notification.
            most_alerts: Alerts of a notification that get log lines; the others get links only.
        """
        self._logs = logs
        self._tasks = tasks
        self._clock = clock
        self._metrics = metrics
        self._external_url = external_url.rstrip("/")
        self._lines = lines
        self._timeout_seconds = timeout_seconds
        self._most_alerts = most_alerts
        self._searches = threading.Semaphore(_MOST_SEARCHES)

    def enrich(self, notification: Notification) -> Notification:
        """Return the notification with ``logs``, ``last_exit``, ``task_url`` and ``logs_url`` annotations.

        What the rule itself says under these names stays.
        """
        deadline = time.monotonic() + self._timeout_seconds
        alerts = []
        for index, alert in enumerate(notification.alerts):
            try:
                read_logs = index < self._most_alerts and alert.state is AlertState.FIRING
                alerts.append(self._with_evidence(alert, deadline if read_logs else None))
            except Exception:
                _log.exception("no evidence for alert %s", alert.labels.get("alertname"))
                self._metrics.evidence_failures.inc()
                alerts.append(alert)
        return replace(notification, alerts=tuple(alerts))

    def _with_evidence(self, alert: Alert, deadline: float | None) -> Alert:
        subject = subject_of(alert, self._tasks.snapshot())
        found = {}
        if subject.task is not None:
            found["task_url"] = (
                f"{self._external_url}/tasks/{quote(subject.task.identity.task_id, safe='')}"
            )
            exit_ = subject.run.exit if subject.run else subject.task.status.last_exit
            if exit_ is not None:
                found["last_exit"] = describe_exit(exit_)
        if subject.query:
            found["logs_url"] = f"{self._external_url}/logs?query={quote(subject.query, safe='')}"
            if deadline is not None and "logs" not in dict(alert.annotations):
                found["logs"] = self._last_lines(subject, deadline)
        return replace(alert, annotations=Labels.of({**found, **dict(alert.annotations)}))

    def _last_lines(self, subject: Subject, deadline: float) -> str:
        end_ms = now_ms(self._clock)
        if subject.run is not None and subject.run.ended_ms is not None:
            end_ms = subject.run.ended_ms + _AFTER_END_MS
        query = LogQuery(
            text=subject.query,
            start_ns=(end_ms - _WINDOW_MS) * 1_000_000,
            end_ns=end_ms * 1_000_000,
            limit=self._lines,
        )
        page = self._within(deadline, lambda: self._logs.search(query))
        if page is None:
            self._metrics.evidence_failures.inc()
            return ""
        lines: list[str] = []
        for record in reversed(page.records):
            lines.extend(_lines_of(str(record.document.get("message", ""))))
        return "\n".join(lines[-self._lines :])

    def _within(self, deadline: float, search: Callable[[], LogPage]) -> LogPage | None:
        """Search in a thread of its own, so that a store that hangs holds up nothing."""
        if not self._searches.acquire(blocking=False):
            return None
        found: list[LogPage] = []

        def work() -> None:
            try:
                found.append(search())
            except Exception as error:
                _log.warning("log lines for an alert cannot be read: %s", error)
            finally:
                self._searches.release()

        thread = threading.Thread(target=work, name="alerting-evidence", daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        return found[0] if found else None


def subject_of(alert: Alert, tasks: frozenset[Task]) -> Subject:
    """Return what an alert is about: its task by ``task_id``, else the app's most recently ended one."""
    labels = dict(alert.labels)
    task_id, app = labels.get("task_id", ""), labels.get("app", "")
    if task_id:
        query = f"task_id:{quoted(task_id)}"
        task = next((t for t in tasks if t.identity.task_id == task_id), None)
        if task is None:
            return Subject(query)
        run = _ended(task)
        if run is not None and _caused(run, alert):
            return Subject(query, task, run)
        return Subject(query, task)
    if not app:
        return Subject()
    ended = [
        (run.ended_ms or 0, task.identity.task_id, task, run)
        for task in tasks
        if _is_of(task, labels) and (run := _ended(task)) is not None and _caused(run, alert)
    ]
    if ended:
        _, task_id, task, run = max(ended, key=lambda found: found[:2])
        return Subject(f"task_id:{quoted(task_id)}", task, run)
    return Subject(f"app:{quoted(app)}")


def _is_of(task: Task, labels: dict[str, str]) -> bool:
    own = prometheus_labels(task.identity)
    return all(labels.get(name, value) == value for name, value in own.items())


def _ended(task: Task) -> Run | None:
    return next((run for run in reversed(task.status.runs) if run.ended_ms is not None), None)


def _caused(run: Run, alert: Alert) -> bool:
    return (run.ended_ms or 0) >= alert.active_ms - _BEFORE_ALERT_MS


def _lines_of(message: str) -> list[str]:
    lines = message.splitlines()
    if len(lines) > _LINES_OF_RECORD:
        # the first line of a stack trace says what, the last ones where or why
        lines = [
            *lines[:2],
            f"... {len(lines) - _LINES_OF_RECORD + 1} lines ...",
            *lines[3 - _LINES_OF_RECORD :],
        ]
    return [line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "..." for line in lines]
