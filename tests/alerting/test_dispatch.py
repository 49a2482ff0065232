"""Grouping, timing and repetition on a virtual clock."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from alerting import state_file
from alerting.dispatch import Dispatch, Route, at, group_key
from alerting.notification import Reason, fingerprint
from alerting.notify_log import Entry, NotifyLog, reason_to_notify
from model.alert import Alert, AlertState
from model.labels import Labels
from tests.alerting.helpers import T0


def alert(
    name: str,
    app: str = "shop",
    *,
    x: str = "",
    fired: int = 0,
    resolved: int = 0,
    valid: int = 240,
) -> Alert:
    """Make an alert; times are seconds after T0, 0 of ``resolved`` for one that fires."""
    return Alert(
        Labels.of({"alertname": name, "app": app, "x": x}),
        Labels(),
        AlertState.INACTIVE if resolved else AlertState.FIRING,
        1.0,
        T0 + fired * 1000,
        fired_ms=T0 + fired * 1000,
        resolved_ms=T0 + resolved * 1000 if resolved else 0,
        valid_until_ms=T0 + valid * 1000,
    )


def dispatch() -> Dispatch:
    """Make one with a wait of 10 s and an interval of 60 s."""
    return Dispatch(Route(("alertname", "app"), 10_000, 60_000))


def put(to: Dispatch, alerts: Sequence[Alert], seconds: int) -> None:
    """Put alerts at a time; the monotonic clock starts at 0 at T0."""
    to.put(alerts, T0 + seconds * 1000, seconds * 1000)


def test_alerts_of_one_group_wait_for_each_other() -> None:
    """Group by alertname and app; the first waits 10 s, then the group is looked at each minute."""
    d = dispatch()
    put(d, [alert("A", x="1"), alert("A", "other")], 0)
    put(d, [alert("A", x="2", fired=5)], 5)

    assert d.due(9_999) == []
    due = d.due(10_000)
    assert [len(g.alerts) for g in due] == [2, 1]
    assert due[0].key == '{}:{alertname="A", app="shop"}'
    assert d.due(69_999) == []
    assert len(d.due(70_000)) == 2


def test_an_alert_that_fired_long_ago_does_not_wait() -> None:
    """As after a restart."""
    d = dispatch()
    put(d, [alert("A", fired=0)], 30)

    assert len(d.due(30_000)) == 1


def test_an_alert_not_heard_of_again_is_taken_for_resolved() -> None:
    """After its valid_until, as an Alertmanager would; counted on the monotonic clock."""
    d = dispatch()
    put(d, [alert("A", valid=240)], 0)
    [group] = d.due(10_000)

    [still] = at(group, 240_000)
    [over] = at(group, 240_001)
    assert still.state is AlertState.FIRING
    assert (over.state, over.resolved_ms) == (AlertState.INACTIVE, T0 + 240_000)


def test_resolved_alerts_and_empty_groups_are_forgotten() -> None:
    """Once all receivers know."""
    d = dispatch()
    put(d, [alert("A", x="1"), alert("A", x="2", resolved=5)], 5)
    [group] = d.due(15_000)
    d.forget_resolved(group, at(group, 15_000))

    assert [a.labels.get("x") for a in group.alerts.values()] == ["1"]
    put(d, [alert("A", x="1", resolved=20)], 20)
    d.forget_resolved(group, at(group, 15_000))
    assert d.groups == {}


@pytest.mark.parametrize(
    ("entry", "firing", "resolved", "minutes", "want"),
    [
        (None, "a", "", 0, Reason.FIRST),
        (None, "", "a", 0, None),  # nobody heard that it fired
        ("a|", "a", "", 59, None),
        ("a|", "a", "", 60, Reason.REPEAT),
        ("a|", "ab", "", 1, Reason.NEW_ALERTS),
        ("ab|", "a", "", 1, None),
        ("ab|", "a", "b", 1, Reason.RESOLVED),
        ("a|b", "a", "b", 1, None),
        ("a|", "", "a", 1, Reason.RESOLVED),
        ("|a", "", "a", 120, None),  # what is over is not repeated
        ("|a", "a", "", 1, Reason.NEW_ALERTS),
    ],
)
def test_why_a_receiver_is_told(
    entry: str | None, firing: str, resolved: str, minutes: int, want: Reason | None
) -> None:
    """``ab|c``: last told at 0 that a and b fire and c is over; repeat interval one hour."""
    told = None
    if entry is not None:
        f, _, r = entry.partition("|")
        told = Entry(T0, frozenset(f), frozenset(r))

    assert reason_to_notify(told, firing, resolved, T0 + minutes * 60_000, 3_600_000) is want


def test_the_log_of_notifications_survives_and_leaves_out_a_torn_record(tmp_path: Path) -> None:
    """Entries of the file and of what was appended; half a record at the end is nothing."""
    entry = Entry(T0, frozenset({"a"}), frozenset())
    first = NotifyLog(tmp_path, 3_600_000)
    first.open(T0)
    first.put("g1", "r", entry)
    first.close()
    second = NotifyLog(tmp_path, 3_600_000)
    second.open(T0)
    second.put("g2", "r", entry)
    second.put("g3", "r", entry)
    second.close()
    tail = tmp_path / "notifications.log"
    tail.write_bytes(tail.read_bytes()[:-5])
    third = NotifyLog(tmp_path, 3_600_000)
    third.open(T0)

    assert [third.get(g, "r") for g in ("g1", "g2", "g3")] == [entry, entry, None]
    third.close()
    fourth = NotifyLog(tmp_path, 3_600_000)
    fourth.open(T0 + 6 * 86_400_000)
    assert fourth.get("g1", "r") is None
    fourth.close()


def test_the_log_works_in_memory_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens, remembers, says that it could not write, and writes everything once it can."""

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    entry = Entry(T0, frozenset({"a"}), frozenset())
    log = NotifyLog(tmp_path, 3_600_000)
    with monkeypatch.context() as patch:
        patch.setattr(state_file, "write", full)
        log.open(T0)
        with pytest.raises(OSError, match="No space"):
            log.put("g1", "r", entry)
    assert log.get("g1", "r") == entry
    log.put("g2", "r", entry)
    log.put("g3", "r", entry)
    log.close()
    again = NotifyLog(tmp_path, 3_600_000)
    again.open(T0)

    assert [again.get(g, "r") for g in ("g1", "g2", "g3")] == [entry] * 3
    again.close()


def test_group_keys_and_fingerprints_are_alertmanagers() -> None:
    """Figures of prometheus/common's own tests; quotes are escaped."""
    for labels, want in (
        ({}, 14695981039346656037),
        ({"x": "y"}, 8241431561484471700),
        ({"a": "bb", "b": "c"}, 3016285359649981711),
        ({"a": "b", "bb": "c"}, 7122421792099404749),
    ):
        assert int(fingerprint(Labels.of(labels)), 16) == want
    assert group_key(Route(), Labels.of({"a": 'x"y'})) == '{}:{a="x\\"y"}'
