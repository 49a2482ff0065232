"""The heartbeat goes out only while all is well."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from alerting.heartbeat import Heartbeat, sample_age
from alerting.metrics import AlertingMetrics
from model.errors import StorageError
from tests.alerting.helpers import T0, Answers, vector
from tests.alerting.hook import Hook
from tests.fakes.clock import FakeClock


def refuse() -> float | None:
    """Fail as a store does."""
    raise StorageError("disk gone")


@pytest.mark.parametrize(
    ("age", "late", "reason"),
    [
        (lambda: 10.0, "", ""),
        (lambda: 91.0, "", "the newest sample is 91 s old"),
        (lambda: None, "", "there are no samples"),
        (lambda: 10.0, "rule group g is 40 s late", "rule group g is 40 s late"),
        (refuse, "", "samples cannot be read: disk gone"),
    ],
)
def test_it_goes_out_only_while_all_is_well(
    hook: Hook, age: Callable[[], float | None], late: str, reason: str
) -> None:
    """Otherwise it stays away and says why."""
    registry = CollectorRegistry()
    heartbeat = Heartbeat(
        sample_age=age,
        late=lambda: late,
        clock=FakeClock(),
        metrics=AlertingMetrics(registry),
        url=hook.url,
    )
    heartbeat.beat()
    status = heartbeat.status()

    assert (status.healthy, status.reason, status.checked_ms) == (not reason, reason, T0)
    assert len(hook.posts) == (0 if reason else 1)
    assert status.last_sent_ms == (0 if reason else T0)
    assert registry.get_sample_value("taskscope_alerting_heartbeat_healthy") == (0 if reason else 1)


def test_an_undelivered_one_is_counted(hook: Hook) -> None:
    """And is not taken for sent."""
    hook.answers = [500]
    registry = CollectorRegistry()
    heartbeat = Heartbeat(
        sample_age=lambda: 1.0,
        late=lambda: "",
        clock=FakeClock(),
        metrics=AlertingMetrics(registry),
        url=hook.url,
    )
    heartbeat.beat()

    assert (heartbeat.status().healthy, heartbeat.status().last_sent_ms) == (True, 0)
    assert registry.get_sample_value("taskscope_alerting_heartbeat_failures_total") == 1


def test_it_runs_by_itself(hook: Hook) -> None:
    """Every interval; stop is safe twice and before start."""
    heartbeat = Heartbeat(
        sample_age=lambda: 1.0,
        late=lambda: "",
        clock=FakeClock(),
        metrics=AlertingMetrics(CollectorRegistry()),
        url=hook.url,
        interval_seconds=0.02,
    )
    heartbeat.stop()
    heartbeat.start()
    posts = hook.wait(2)
    heartbeat.stop()
    heartbeat.stop()

    assert posts[:2] == [{"status": "alive"}] * 2


def test_the_age_of_samples_is_asked_of_the_store() -> None:
    """Nothing found is None, not 0."""
    answers = Answers()
    age = sample_age(answers, FakeClock())

    assert age() is None
    [(expr, _)] = answers.asked
    answers.by_expr[expr] = vector(({}, 12.0))
    assert age() == 12.0
