"""Groups on a virtual clock: order, series, errors, and what survives on disk."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from alerting import state_file
from alerting.group import GroupRun
from alerting.rule import RecordingRule, RuleGroup
from alerting.schedule import Schedule
from model.alert import AlertState
from model.errors import QueryError
from model.labels import Labels
from model.samples import is_stale
from tests.alerting.helpers import T0, Bench, alerting_rule, vector, words


def test_alerts_become_series_and_end_stale(tmp_path: Path) -> None:
    """ALERTS and ALERTS_FOR_STATE while pending and firing; a stale marker at each change and at the end."""
    bench = Bench(tmp_path, alerting_rule(for_seconds=15))
    for seconds, answer in ((0, "a"), (15, "a"), (30, "")):
        bench.answers.by_expr["Broken"] = words(answer)
        bench.evaluate(seconds)

    def of(name: str, **labels: str) -> dict[int, float]:
        key = Labels.of({"__name__": name, "alertname": "Broken", "x": "a", **labels})
        return {t - T0: v for t, v in bench.store.samples[key].items()}

    pending, firing = of("ALERTS", alertstate="pending"), of("ALERTS", alertstate="firing")
    since = of("ALERTS_FOR_STATE")
    assert pending[0] == 1
    assert is_stale(np.array([pending[15_000]])).all()
    assert firing[15_000] == 1
    assert is_stale(np.array([firing[30_000], since[30_000]])).all()
    assert since[15_000] == T0 / 1000


def test_recording_rules_write_and_mark_what_is_gone(tmp_path: Path) -> None:
    """The metric gets the rule's name and labels; a series that is gone gets one stale marker."""
    bench = Bench(tmp_path)
    rule = RecordingRule("job:m", "m", (("team", "t"), ("x", "")))
    bench.run = GroupRun(replace(bench.group, rules=(rule,)), bench.around)
    bench.answers.by_expr["m"] = vector(({"__name__": "m", "x": "1", "y": "a"}, 5.0))
    bench.evaluate(0)
    bench.answers.by_expr["m"] = vector(({"y": "b"}, 7.0))
    bench.evaluate(15)

    a, b = (Labels.of({"__name__": "job:m", "team": "t", "y": y}) for y in "ab")
    assert bench.store.samples[a][T0] == 5
    assert is_stale(np.array([bench.store.samples[a][T0 + 15_000]])).all()
    assert bench.store.samples[b] == {T0 + 15_000: 7}


def test_results_look_back_by_the_query_offset(tmp_path: Path) -> None:
    """Queries and samples are behind by query_offset, the alert's own times are not."""
    bench = Bench(tmp_path)
    bench.run = GroupRun(
        RuleGroup("g", "f", 15_000, (alerting_rule(),), query_offset_ms=30_000), bench.around
    )
    bench.answers.by_expr["Broken"] = words("a")
    [sent] = bench.evaluate(60)

    assert bench.answers.asked == [("Broken", T0 + 30_000)]
    assert sent.active_ms == T0 + 60_000
    assert all(list(points) == [T0 + 30_000] for points in bench.store.samples.values())


@pytest.mark.parametrize("error", [QueryError("no such function"), RuntimeError("a defect")])
def test_an_error_leaves_the_alerts_as_they_were(tmp_path: Path, error: Exception) -> None:
    """It is shown and counted, other rules go on, and the alert neither ends nor starts anew."""
    bench = Bench(tmp_path, alerting_rule("Broken"), alerting_rule("Other"))
    bench.answers.by_expr |= {"Broken": words("a"), "Other": words("a")}
    bench.evaluate(0)
    bench.answers.by_expr["Broken"] = error
    bench.evaluate(15)

    broken, other = bench.run.rules
    assert (broken.health, other.health) == ("err", "ok")
    assert str(error) in broken.last_error
    assert [a.state for a in broken.alerts.values()] == [AlertState.FIRING]
    assert (
        bench.registry.get_sample_value(
            "taskscope_alerting_rule_failures_total", {"rule_group": "rules.yml;g"}
        )
        == 1
    )
    again = bench.evaluate(75)
    assert [a.state for a in again if a.labels.get("alertname") == "Broken"] == [AlertState.FIRING]
    bench.answers.by_expr["Broken"] = words("a")
    bench.evaluate(90)
    assert (broken.health, broken.last_error) == ("ok", "")
    assert next(iter(broken.alerts.values())).active_ms == T0


@pytest.mark.parametrize(
    ("for_seconds", "keep_seconds", "before", "after", "want"),
    [
        (60, 0, "0+ 15+ 30+", "90+", "pending since 0, then firing"),
        (0, 0, "0+", "15+", "firing since 0"),
        (0, 60, "0+ 15- 30-", "74- 75-", "kept since 15, then resolved"),
        (0, 0, "0+ 15-", "30-", "resolved at 15"),
    ],
)
def test_a_new_process_goes_on_with_what_is_on_disk(
    tmp_path: Path, *, for_seconds: float, keep_seconds: float, before: str, after: str, want: str
) -> None:
    """Whatever state the alert was in, and however long its ``for`` is."""
    rule = alerting_rule(for_seconds=for_seconds, keep_seconds=keep_seconds)
    first, last = Bench(tmp_path, rule), Bench(tmp_path, rule)
    for word in before.split():
        first.answers.by_expr["Broken"] = words("a" if word[-1] == "+" else "")
        first.evaluate(int(word[:-1]))
    restored = last.alert_store.load_all()["rules.yml;g"]
    known, orphans = last.run.restore(restored, T0 + 30_000, hold_ms=0)

    assert last.alerts() == {
        labels: replace(alert, valid_until_ms=last.alerts()[labels].valid_until_ms)
        for labels, alert in first.alerts().items()
    }
    assert (len(known), orphans) == (0 if want.startswith("pending") else 1, [])
    states = []
    for word in after.split():
        last.answers.by_expr["Broken"] = words("a" if word[-1] == "+" else "")
        last.evaluate(int(word[:-1]))
        states.append(next(iter(last.alerts().values())))
    final = states[-1]
    if want == "pending since 0, then firing":
        assert (final.state, final.active_ms, final.fired_ms) == (
            AlertState.FIRING,
            T0,
            T0 + 90_000,
        )
    elif want == "firing since 0":
        assert (final.state, final.fired_ms, final.last_sent_ms) == (AlertState.FIRING, T0, T0)
        assert last.sent == []
    elif want == "kept since 15, then resolved":
        assert states[0].state is AlertState.FIRING
        assert (final.state, final.resolved_ms) == (AlertState.INACTIVE, T0 + 75_000)
    else:
        assert (final.resolved_ms, last.sent) == (T0 + 15_000, [])


def test_restored_alerts_wait_for_fresh_samples(tmp_path: Path) -> None:
    """For the time of holding, an empty result ends no restored alert; a new one ends as ever."""
    first, last = (Bench(tmp_path, alerting_rule()) for _ in "12")
    first.answers.by_expr["Broken"] = words("a")
    first.evaluate(0)
    last.run.restore(last.alert_store.load_all()["rules.yml;g"], T0 + 600_000, hold_ms=90_000)
    last.answers.by_expr["Broken"] = words("b")
    last.evaluate(615)
    last.answers.by_expr["Broken"] = words("")
    last.evaluate(630)

    states = {labels.get("x"): alert.state.value for labels, alert in last.alerts().items()}
    assert states == {"a": "firing", "b": "inactive"}
    last.evaluate(690)
    assert {a.state for a in last.alerts().values()} == {AlertState.INACTIVE}


def test_a_changed_group_keeps_its_alerts(tmp_path: Path) -> None:
    """A rule with the same name goes on, also with another expression; a removed one is handed back."""
    bench = Bench(tmp_path, alerting_rule("Broken"), alerting_rule("Gone"))
    bench.answers.by_expr |= {"Broken": words("a"), "Gone": words("a")}
    bench.evaluate(0)
    changed = replace(alerting_rule("Broken"), expr="other")
    heir = GroupRun(replace(bench.group, rules=(alerting_rule("New"), changed)), bench.around)
    orphans = heir.take_over(bench.run)
    bench.answers.by_expr["other"] = words("a")
    heir.evaluate(T0 + 15_000)
    bench.run.evaluate(T0 + 15_000)

    assert bench.run.last_evaluation_ms == T0  # what waited for its turn does nothing any more
    assert [a.labels.get("alertname") for a in orphans] == ["Gone"]
    assert [a.active_ms for a in heir.rules[1].alerts.values()] == [T0]
    gone = Labels.of({"__name__": "ALERTS", "alertname": "Gone", "alertstate": "firing", "x": "a"})
    assert is_stale(np.array(list(bench.store.samples[gone].values())[-1:])).all()


def test_alerts_go_out_though_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once, counted each time, and made good when there is room again."""

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    bench = Bench(tmp_path, alerting_rule())
    bench.answers.by_expr["Broken"] = words("a")
    with monkeypatch.context() as patch:
        patch.setattr(state_file, "write", full)
        sent = bench.evaluate(0)
        bench.evaluate(15)

    assert len(sent) == 1
    assert caplog.text.count("cannot be kept on disk") == 1
    assert bench.registry.get_sample_value("taskscope_alerting_state_failures_total") == 2
    bench.evaluate(30)
    assert list(bench.alert_store.load_all()) == ["rules.yml;g"]


def test_a_restart_marks_what_ended_meanwhile(tmp_path: Path) -> None:
    """The series of the process before end with a stale marker though this one never wrote them."""
    first, last = (Bench(tmp_path, alerting_rule()) for _ in "12")
    first.answers.by_expr["Broken"] = words("a")
    first.evaluate(0)
    last.run.restore(last.alert_store.load_all()["rules.yml;g"], T0 + 5000, hold_ms=0)
    last.evaluate(15)

    assert len(last.store.samples) == 2
    for points in last.store.samples.values():
        assert is_stale(np.array([points[T0 + 15_000]])).all()


def test_a_schedule_stays_on_its_grid_and_counts_what_it_missed() -> None:
    """Each group has its own shift; late evaluations are left out and counted; a clock set back is noticed."""
    schedule = Schedule("rules.yml;g", 15_000)
    schedule.start(T0)
    first = schedule.next_ms

    assert T0 < first <= T0 + 15_000
    assert schedule.take(first + 100) == (first, 0)
    assert schedule.next_ms == first + 15_000
    assert schedule.take(first + 50_000) == (first + 45_000, 2)
    assert schedule.next_ms == first + 60_000
    assert not schedule.is_due(first + 50_000)
    assert schedule.is_due(T0 - 3_600_000)
    assert schedule.take(T0 - 3_600_000) is None
    assert schedule.next_ms <= T0 - 3_600_000 + 15_000
    assert (schedule.next_ms - first) % 15_000 == 0
