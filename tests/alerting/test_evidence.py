"""Evidence: whose lines, which lines, and that nothing holds a notification up."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from alerting.evidence import EvidenceFinder, subject_of
from alerting.metrics import AlertingMetrics
from alerting.notification import Notification, Reason
from model.alert import Alert, AlertState
from model.errors import StorageError
from model.labels import Labels
from model.samples import Ints
from model.task import Exit, Run, Task, TaskState, describe_exit
from storage.interface import FacetValue, LogContext, LogPage, LogQuery, LogRecord
from tests.alerting.helpers import T0
from tests.fakes.clock import FakeClock
from tests.fakes.tasks import FakeTaskSource, make_task


class Logs:
    """A log reader that gives what a test put in, newest first, and remembers what it was asked."""

    def __init__(self, *messages: str, error: Exception | None = None) -> None:
        self.messages = messages
        self.error = error
        self.queries: list[LogQuery] = []
        self.free = threading.Event()
        self.free.set()

    def search(self, query: LogQuery) -> LogPage:
        self.queries.append(query)
        self.free.wait(10)
        if self.error is not None:
            raise self.error
        newest_first = list(reversed(self.messages))[: query.limit]
        return LogPage(tuple(LogRecord("", 0, {"message": m}) for m in newest_first), "")

    def tail(self, text: str, cursor: str, stop: threading.Event) -> Iterator[LogPage]:
        raise NotImplementedError

    def histogram(
        self, query: LogQuery, buckets: int
    ) -> tuple[Ints, dict[str, npt.NDArray[np.int64]]]:
        raise NotImplementedError

    def context(self, record_id: str, ts_ns: int, *, before: int = 20, after: int = 20) -> LogContext:  # fmt: skip
        raise NotImplementedError

    def facets(self, query: LogQuery, fields: Sequence[str], limit: int = 10) -> Mapping[str, tuple[FacetValue, ...]]:  # fmt: skip
        raise NotImplementedError


def alert(**labels: str) -> Alert:
    """Make an alert that fires since 10 minutes after T0."""
    at = T0 + 600_000
    return Alert(
        Labels.of({"alertname": "A", **labels}),
        Labels.of({"summary": "s"}),
        AlertState.FIRING,
        1.0,
        at,
        at,
    )


def ended(name: str, at: int, *, app: str = "shop", code: int = 1, oom: bool = False) -> Task:
    """Make a task whose only run ended some seconds after T0."""
    run = Run(1, T0, T0 + at * 1000, Exit(code, 9 if code == 137 else 0, oom))
    return make_task(name, app=app, state=TaskState.FAILED, runs=(run,))


def restarted(name: str, at: int) -> Task:
    """Make a task that runs again since its first run ended."""
    first, second = Run(1, T0, T0 + at * 1000, Exit(1)), Run(2, T0 + at * 1000 + 1000)
    return make_task(name, runs=(first, second))


@pytest.mark.parametrize(
    ("labels", "want", "with_run"),
    [
        ({"task_id": "a-id"}, "a-id", True),  # the task that ended
        ({"task_id": "sick-id"}, "sick-id", False),  # runs and is sick
        ({"task_id": "old-id"}, "old-id", False),  # its last end was long before the alert
        ({"task_id": "back-id"}, "back-id", True),  # ended, runs again
        ({"app": "shop"}, "b-id", True),  # the app's most recently ended task
        ({"app": "shop", "namespace": "default", "host": "host-1"}, "b-id", True),
        ({"app": "shop", "namespace": "elsewhere"}, "", False),
        ({"app": "calm"}, "", False),
        ({"instance": "x"}, "", False),
    ],
)
def test_whom_an_alert_is_about(labels: dict[str, str], want: str, with_run: bool) -> None:
    """By task, else by app."""
    tasks = frozenset(
        {
            ended("a", 550),
            ended("b", 590),
            ended("other", 599, app="other"),
            make_task("sick"),
            restarted("old", 10),
            restarted("back", 580),
            make_task("calm-1", app="calm"),
        }
    )
    subject = subject_of(alert(**labels), tasks)

    assert (subject.task.identity.task_id if subject.task else "") == want
    assert (subject.run is not None) is with_run


def finder(
    logs: Logs, *tasks: Task, registry: CollectorRegistry | None = None, timeout: float = 5
) -> EvidenceFinder:
    """Make a finder at T0 + 10 min."""
    return EvidenceFinder(
        logs,
        FakeTaskSource(*tasks),
        clock=FakeClock(T0 + 600_000),
        metrics=AlertingMetrics(registry or CollectorRegistry()),
        external_url="http://here/",
        timeout_seconds=timeout,
        lines=3,
    )


def notification(*alerts: Alert) -> Notification:
    """Make a notification of alerts."""
    return Notification("r", "k", Labels(), alerts, Reason.FIRST)


def test_the_last_lines_before_the_end_go_with_the_alert() -> None:
    """Oldest first, from the time around the end; with exit, task page and logs."""
    logs = Logs("one", "two", "three", "four")
    [out] = (
        finder(logs, ended("a", 590, code=137, oom=True))
        .enrich(notification(alert(app="shop")))
        .alerts
    )

    assert dict(out.annotations) == {
        "summary": "s",
        "logs": "two\nthree\nfour",
        "last_exit": "exit code 137 (SIGKILL), out of memory",
        "task_url": "http://here/tasks/a-id",
        "logs_url": "http://here/logs?query=task_id%3A%22a-id%22",
    }
    [query] = logs.queries
    assert query.text == 'task_id:"a-id"'
    assert query.end_ns == (T0 + 592_000) * 1_000_000
    assert query.start_ns == query.end_ns - 900_000_000_000


def test_a_sick_task_gives_its_newest_lines() -> None:
    """Up to now."""
    logs = Logs("one")
    [out] = finder(logs, make_task("sick")).enrich(notification(alert(task_id="sick-id"))).alerts

    assert out.annotations.get("logs") == "one"
    assert logs.queries[0].end_ns == (T0 + 600_000) * 1_000_000
    assert out.annotations.get("last_exit") == ""


def test_long_records_are_shortened() -> None:
    """A stack trace keeps its beginning and its end, a line its first 500 characters."""
    trace = "\n".join(["Traceback", *[f"line {n}" for n in range(30)], "ValueError: " + "x" * 600])
    f = finder(Logs(trace), make_task("sick"))
    f._lines = 20
    [out] = f.enrich(notification(alert(task_id="sick-id"))).alerts

    lines = out.annotations.get("logs").splitlines()
    assert lines[:3] == ["Traceback", "line 0", "... 25 lines ..."]
    assert len(lines) == 8
    assert lines[-1].endswith("x...")
    assert len(lines[-1]) == 503


def test_rules_have_the_last_word_and_resolved_alerts_get_no_lines() -> None:
    """Annotations of the rule stay as they are."""
    own = replace(
        alert(task_id="sick-id"), annotations=Labels.of({"logs_url": "mine", "logs": "own"})
    )
    over = replace(alert(task_id="sick-id"), state=AlertState.INACTIVE)
    logs = Logs("one")
    first, second = finder(logs, make_task("sick")).enrich(notification(own, over)).alerts

    assert (first.annotations.get("logs_url"), first.annotations.get("logs")) == ("mine", "own")
    assert second.annotations.get("logs") == ""
    assert second.annotations.get("task_url") == "http://here/tasks/sick-id"
    assert logs.queries == []


def test_failures_and_hanging_stores_hold_nothing_up() -> None:
    """The notification goes out without lines, and that is counted."""
    registry = CollectorRegistry()
    failing = finder(Logs(error=StorageError("disk gone")), make_task("sick"), registry=registry)
    [out] = failing.enrich(notification(alert(task_id="sick-id"))).alerts
    assert out.annotations.get("task_url")
    assert registry.get_sample_value("taskscope_alerting_evidence_failures_total") == 1

    logs = Logs("one")
    logs.free.clear()
    hanging = finder(logs, make_task("sick"), timeout=0.05)
    started = time.monotonic()
    for _ in range(10):
        [out] = hanging.enrich(notification(alert(task_id="sick-id"))).alerts
    took = time.monotonic() - started
    logs.free.set()

    assert out.annotations.get("logs") == ""
    assert len(logs.queries) == 4  # no more searches than four pile up
    assert took < 4


@pytest.mark.parametrize(
    ("exit_", "want"),
    [
        (Exit(0), "exit code 0"),
        (Exit(143, 15), "exit code 143 (SIGTERM)"),
        (Exit(None, reason="removed"), "exit code unknown, removed"),
        (Exit(200, 72), "exit code 200 (signal 72)"),
    ],
)
def test_an_end_in_words(exit_: Exit, want: str) -> None:
    """Code, signal, memory, reason."""
    assert describe_exit(exit_) == want
