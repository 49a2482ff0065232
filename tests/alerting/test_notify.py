"""From alerts to a real HTTP server and a console: retry, restart, the document itself."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from alerting import notify
from alerting.dispatcher import Dispatcher
from alerting.metrics import AlertingMetrics
from alerting.notification import Notification, Reason
from alerting.receiver.base import Receiver
from alerting.receiver.console import ConsoleReceiver
from alerting.receiver.webhook import WebhookReceiver, payload
from model.alert import Alert, AlertState
from model.errors import DeliveryError
from model.labels import Labels
from tests.alerting.hook import Hook, WallClock


def firing(name: str = "Down", **labels: str) -> Alert:
    """Make an alert that has just fired."""
    now = time.time_ns() // 1_000_000
    return Alert(
        Labels.of({"alertname": name, **labels}),
        Labels.of({"summary": "it is down"}),
        AlertState.FIRING,
        1.0,
        now,
        fired_ms=now,
        valid_until_ms=now + 240_000,
    )


def resolved(alert: Alert) -> Alert:
    """Return the alert, over."""
    return replace(alert, state=AlertState.INACTIVE, resolved_ms=alert.fired_ms + 1000)


def dispatcher(
    directory: Path,
    *receivers: Receiver,
    registry: CollectorRegistry | None = None,
    repeat: float = 3600,
) -> Dispatcher:
    """Make one with short waits."""
    return Dispatcher(
        receivers,
        state_dir=directory,
        clock=WallClock(),
        metrics=AlertingMetrics(registry or CollectorRegistry()),
        group_wait_seconds=0.02,
        group_interval_seconds=0.1,
        repeat_interval_seconds=repeat,
        external_url="http://here",
    )


def test_firing_then_resolved_is_told_once_each(tmp_path: Path, hook: Hook) -> None:
    """However often the rules say it."""
    d = dispatcher(tmp_path, WebhookReceiver("hook", hook.url))
    d.start()
    alert = firing(app="shop")
    for _ in range(3):
        d.put([alert])
        time.sleep(0.05)
    hook.wait(1)
    d.put([resolved(alert)])
    hook.wait(2)
    d.put([resolved(alert)])
    time.sleep(0.15)
    d.stop()
    d.stop()

    assert [post["status"] for post in hook.posts] == ["firing", "resolved"]


def test_a_restart_neither_repeats_nor_loses(tmp_path: Path, hook: Hook) -> None:
    """A new dispatcher hears of the same alert and says nothing; of its end, and says so."""
    alert = firing(app="shop")
    for state, posts in ((alert, 1), (alert, 1), (resolved(alert), 2), (resolved(alert), 2)):
        d = dispatcher(tmp_path, WebhookReceiver("hook", hook.url))
        d.start()
        d.put([state])
        hook.wait(posts, 0.3 if len(hook.posts) == posts else 5)
        d.stop()

        assert len(hook.posts) == posts


def test_what_is_not_taken_is_tried_again(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 and 429 are retried; failures and successes are counted."""
    monkeypatch.setattr(notify, "_FIRST_RETRY_SECONDS", 0.05)
    hook.answers = [500, 429]
    hook.headers = {"Retry-After": "0"}
    registry = CollectorRegistry()
    d = dispatcher(tmp_path, WebhookReceiver("hook", hook.url), registry=registry)
    d.start()
    d.put([firing()])
    hook.wait(1, 10)
    d.stop()

    def count(name: str) -> float | None:
        return registry.get_sample_value(f"taskscope_alerting_{name}_total", {"receiver": "hook"})

    assert len(hook.posts) == 1
    assert count("notification_failures") == 2
    assert count("notifications") == 1


def test_a_dead_receiver_delays_no_other(tmp_path: Path, hook: Hook) -> None:
    """Nobody listens at the first one's port."""
    lines: list[str] = []
    d = dispatcher(
        tmp_path, WebhookReceiver("dead", "http://127.0.0.1:1/"), ConsoleReceiver(lines.append)
    )
    d.start()
    d.put([firing()])
    until = time.monotonic() + 5
    while not lines and time.monotonic() < until:
        time.sleep(0.005)
    d.stop()

    assert "FIRING Down" in lines[0]


def test_the_same_is_said_again_after_the_repeat_interval(tmp_path: Path, hook: Hook) -> None:
    """While it still fires."""
    d = dispatcher(tmp_path, WebhookReceiver("hook", hook.url), repeat=0.2)
    d.start()
    d.put([firing()])
    posts = hook.wait(3)
    d.stop()

    assert [post["status"] for post in posts[:3]] == ["firing"] * 3


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(500, True), (503, True), (429, True), (400, False), (404, False), (301, False)],
)
def test_answers_say_whether_to_try_again(hook: Hook, status: int, retryable: bool) -> None:
    """And the message never has the address, which may hold a secret."""
    hook.answers, hook.headers = [status], {"Location": "/elsewhere"}
    receiver = WebhookReceiver("hook", hook.url)
    with pytest.raises(DeliveryError, match=str(status)) as caught:
        receiver.send(Notification("hook", "{}:{}", Labels(), (firing(),), Reason.FIRST))

    assert caught.value.retryable is retryable
    assert "secret" not in str(caught.value) + repr(receiver)


def test_the_document_is_alertmanagers() -> None:
    """Every key of version 4, in its form."""
    down = replace(
        firing(app="shop", x="1"), fired_ms=1_767_225_600_123, generator_url="http://here/graph"
    )
    over = replace(
        resolved(firing(app="shop", x="2")),
        fired_ms=1_767_225_600_000,
        resolved_ms=1_767_225_660_000,
    )
    notification = Notification(
        "hook",
        '{}:{app="shop"}',
        Labels.of({"app": "shop"}),
        (down, over, down),
        Reason.FIRST,
        "http://here",
    )

    document = payload(notification, max_alerts=2)

    assert document["alerts"][0] == {
        "status": "firing",
        "labels": {"alertname": "Down", "app": "shop", "x": "1"},
        "annotations": {"summary": "it is down"},
        "startsAt": "2026-01-01T00:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://here/graph",
        "fingerprint": document["alerts"][0]["fingerprint"],
    }
    assert document["alerts"][1]["endsAt"] == "2026-01-01T00:01:00Z"
    del document["alerts"]
    assert document == {
        "receiver": "hook",
        "status": "firing",
        "groupLabels": {"app": "shop"},
        "commonLabels": {"alertname": "Down", "app": "shop"},
        "commonAnnotations": {"summary": "it is down"},
        "externalURL": "http://here",
        "version": "4",
        "groupKey": '{}:{app="shop"}',
        "truncatedAlerts": 1,
    }


def test_the_console_shows_a_line_per_alert_and_the_logs_below() -> None:
    """Control characters of a task's output do not reach the terminal."""
    lines: list[str] = []
    annotations = Labels.of(
        {"summary": "it broke", "logs": "one\n\x1b[31mtwo", "last_exit": "exit code 1"}
    )
    alert = replace(
        firing(app="shop", severity="critical"), fired_ms=1_767_225_600_000, annotations=annotations
    )
    receiver = ConsoleReceiver(lines.append)
    receiver.send(
        Notification("console", "k", Labels(), (alert, *[resolved(alert)] * 5), Reason.FIRST)
    )

    assert lines[:4] == [
        "00:00:00Z FIRING Down severity=critical app=shop: it broke",
        "       last exit: exit code 1",
        "       | one",
        "       |  [31mtwo",
    ]
    assert lines[4] == "00:00:01Z RESOLVED Down severity=critical app=shop: it broke"
    assert lines[-1] == "       ... and 1 more in group k"
