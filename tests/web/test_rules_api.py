"""Rules, alerts and targets in Prometheus's form."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import body
from tests.web.demo_host import Demo
from web.api.rules import _exponent, go_time


def groups(client: FlaskClient, **parameters: Any) -> list[dict[str, Any]]:
    """Return the groups of an answer."""
    found: list[dict[str, Any]] = body(client.get("/api/v1/rules", query_string=parameters))[
        "data"
    ]["groups"]
    return found


def test_rules(demo_client: FlaskClient, demo: Demo) -> None:
    """An alerting rule with its alerts, in a group."""
    tasks = groups(demo_client)[0]
    crash_loop = tasks["rules"][0]

    assert (tasks["name"], tasks["file"], tasks["interval"]) == ("tasks", "shipped", 15)
    assert tasks["lastEvaluation"] == go_time(demo.now_ms - 7000)
    assert crash_loop["type"] == "alerting"
    assert crash_loop["state"] == "firing"
    assert crash_loop["duration"] == 60
    assert crash_loop["alerts"][0]["labels"]["task_name"] == "report-job"
    assert "lastError" not in crash_loop


def test_broken_and_recording_rules(demo_client: FlaskClient) -> None:
    """What could not be evaluated says why; a recording rule has no state."""
    broken, recording = groups(demo_client)[1]["rules"]

    assert (broken["health"], broken["state"]) == ("err", "inactive")
    assert "parse error" in broken["lastError"]
    assert recording["type"] == "recording"
    assert "state" not in recording


@pytest.mark.parametrize(
    ("parameters", "want"),
    [
        ({"type": "record"}, {"tasks": 0, "own": 1}),
        ({"type": "alert"}, {"tasks": 4, "own": 1}),
        ({"rule_name[]": "TargetDown"}, {"own": 1}),
        ({"rule_group[]": "tasks"}, {"tasks": 4}),
        ({"file[]": "rules/own.yml"}, {"own": 2}),
    ],
)
def test_rules_can_be_chosen(
    demo_client: FlaskClient, parameters: dict[str, str], want: dict[str, int]
) -> None:
    """By type, name, group and file; groups left empty are left out."""
    found = {group["name"]: len(group["rules"]) for group in groups(demo_client, **parameters)}

    assert found == {name: count for name, count in want.items() if count}


def test_unknown_type_of_rule_is_refused(demo_client: FlaskClient) -> None:
    """It is alert or record."""
    answer = demo_client.get("/api/v1/rules?type=x")

    assert (answer.status_code, body(answer)["errorType"]) == (400, "bad_data")


def test_alerts(demo_client: FlaskClient, demo: Demo) -> None:
    """Each with its identity, state, time and value."""
    found = body(demo_client.get("/api/v1/alerts"))["data"]["alerts"]

    assert len(found) == 4
    assert found[0]["state"] == "firing"
    assert found[0]["activeAt"] == go_time(demo.alerts[0].active_ms)
    assert found[0]["value"] == "3e+00"
    assert found[0]["labels"]["app"] == "report"
    assert found[3]["state"] == "pending"


def test_targets(demo_client: FlaskClient) -> None:
    """As the collector gives them."""
    found = body(demo_client.get("/api/v1/targets"))["data"]

    assert [target["health"] for target in found["activeTargets"]] == ["up", "up", "down"]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.0, "0e+00"),
        (3.0, "3e+00"),
        (-0.125, "-1.25e-01"),
        (123456.789, "1.23456789e+05"),
        (1e300, "1e+300"),
        (0.1 + 0.2, "3.0000000000000004e-01"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
    ],
)
def test_value_of_an_alert_has_an_exponent(value: float, want: str) -> None:
    """Prometheus prints this one with 'e'."""
    assert _exponent(value) == want


@pytest.mark.parametrize(
    ("ms", "want"),
    [
        (0, "0001-01-01T00:00:00Z"),
        (1_435_781_451_000, "2015-07-01T20:10:51Z"),
        (1_435_781_451_780, "2015-07-01T20:10:51.78Z"),
        (1_435_781_451_005, "2015-07-01T20:10:51.005Z"),
    ],
)
def test_time_is_rfc3339_as_go_writes_it(ms: int, want: str) -> None:
    """Without trailing zeros; never is Go's zero time."""
    assert go_time(ms) == want
