"""The rule manager on the real clock: intervals, slow groups, reload, restart."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from alerting.manager import RuleManager
from alerting.metrics import AlertingMetrics
from alerting.rule import RuleGroup, Vector
from model.alert import Alert, AlertState
from model.errors import ConfigError, Problem
from tests.alerting.helpers import Answers, alerting_rule, vector, words
from tests.alerting.hook import WallClock
from tests.fakes.store import MemoryStore


class Fixture:
    """A manager with groups that a test may change."""

    def __init__(self, directory: Path, *groups: RuleGroup, hold_seconds: float = 0) -> None:
        self.groups: tuple[RuleGroup, ...] | ConfigError = groups
        self.answers = Answers()
        self.sent: list[Alert] = []
        self.registry = CollectorRegistry()
        self.manager = RuleManager(
            self._load,
            evaluate=self.answers,
            appender=MemoryStore(),
            send=self._send,
            state_dir=directory,
            clock=WallClock(),
            metrics=AlertingMetrics(self.registry),
            restore_hold_seconds=hold_seconds,
        )

    def _load(self) -> Sequence[RuleGroup]:
        if isinstance(self.groups, ConfigError):
            raise self.groups
        return self.groups

    def _send(self, alerts: Sequence[Alert]) -> None:
        self.sent.extend(alerts)


def group(name: str, rule: str = "Broken", interval_ms: int = 50) -> RuleGroup:
    """Make a group of one rule."""
    return RuleGroup(name, "rules.yml", interval_ms, (alerting_rule(rule),))


def until(holds: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def test_rules_run_and_alerts_are_seen(tmp_path: Path) -> None:
    """Views and alerts are there while it runs; stop is safe twice and before start."""
    f = Fixture(tmp_path, group("g"))
    f.manager.stop()
    f.answers.by_expr["Broken"] = words("a")
    f.manager.start()
    until(lambda: f.sent)
    [view] = f.manager.groups()
    late = f.manager.late()
    f.manager.stop()
    f.manager.stop()

    assert (view.name, view.file, view.interval_seconds) == ("g", "rules.yml", 0.05)
    [rule] = view.rules
    assert (rule.kind, rule.state, rule.health) == ("alerting", AlertState.FIRING, "ok")
    assert [a.labels.get("x") for a in f.manager.alerts()] == ["a"]
    assert late == ""
    assert f.manager.late() == "rules are not running"


def test_a_slow_group_delays_no_other_and_counts_what_it_missed(tmp_path: Path) -> None:
    """Ten quick groups go on while one hangs; late() names it."""
    f = Fixture(tmp_path, group("slow", "Slow"), *(group(f"g{n}") for n in range(10)))
    free = threading.Event()
    asked: list[str] = []

    def evaluate(expr: str, ts_ms: int) -> Vector:
        asked.append(expr)
        if expr == "Slow":
            free.wait(10)
        return vector()

    f.manager._around = replace(f.manager._around, evaluate=evaluate)
    f.manager.start()
    until(lambda: asked.count("Slow") == 1 and asked.count("Broken") > 60)
    until(lambda: "slow" in f.manager.late())
    free.set()
    until(lambda: asked.count("Slow") > 1)
    f.manager.stop()

    missed = f.registry.get_sample_value(
        "taskscope_alerting_group_missed_total", {"rule_group": "rules.yml;slow"}
    )
    assert missed is not None
    assert missed >= 1


def test_reload_keeps_alerts_and_ends_those_of_removed_rules(tmp_path: Path) -> None:
    """A bad file changes nothing; a removed group's firing alerts are resolved."""
    f = Fixture(tmp_path, group("g"), group("gone", "Gone"))
    f.answers.by_expr |= {"Broken": words("a"), "Gone": words("b")}
    f.manager.start()
    until(lambda: len(f.sent) == 2)
    f.groups = ConfigError([Problem("f", 1, 1, "", "bad")])
    with pytest.raises(ConfigError):
        f.manager.reload()
    assert len(f.manager.groups()) == 2
    f.groups = (group("g", interval_ms=60),)
    f.manager.reload()
    until(lambda: len(f.sent) == 3)
    f.manager.stop()

    assert (f.sent[2].labels.get("alertname"), f.sent[2].state) == ("Gone", AlertState.INACTIVE)
    assert [v.interval_seconds for v in f.manager.groups()] == [0.06]
    assert [a.labels.get("x") for a in f.manager.alerts()] == ["a"]


def test_a_restart_hands_known_alerts_on_at_once(tmp_path: Path) -> None:
    """Firing ones with validity from now, those of rules that are gone as resolved; unchanged start."""
    first = Fixture(tmp_path, group("g"), group("gone", "Gone"))
    first.answers.by_expr |= {"Broken": words("a"), "Gone": words("b")}
    first.manager.start()
    until(lambda: len(first.sent) == 2)
    first.manager.stop()
    second = Fixture(tmp_path, group("g"), hold_seconds=60)
    second.manager.start()
    known = list(second.sent)
    until(lambda: len(second.answers.asked) > 2)
    second.manager.stop()

    assert {(a.labels.get("x"), a.state) for a in known} == {
        ("a", AlertState.FIRING),
        ("b", AlertState.INACTIVE),
    }
    assert [(a.labels.get("x"), a.state) for a in second.manager.alerts()] == [
        ("a", AlertState.FIRING)
    ]
    fired = {a.labels.get("x"): a.fired_ms for a in first.sent}
    assert second.manager.alerts()[0].fired_ms == fired["a"]


def test_damaged_state_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It starts all the same, and says what it left out."""
    first = Fixture(tmp_path, group("g"))
    first.answers.by_expr["Broken"] = words("a")
    first.manager.start()
    until(lambda: first.sent)
    first.manager.stop()
    [file] = tmp_path.glob("*.alerts")
    file.write_bytes(file.read_bytes()[:-3])
    second = Fixture(tmp_path, group("g"))
    second.manager.start()
    second.manager.stop()

    assert "is damaged; it is kept as" in caplog.text
    assert file.with_name(file.name + ".unreadable").exists()
