"""What `taskscope logs lint` says of lines."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from logship.lint import WEIGHTS, lint
from taskscope.cli.lint import lint as command

GOOD = {"service.name": "shop", "message": "sold", "log.level": "info", "trace.id": "a" * 32, "fields.n": 1}  # fmt: skip


def test_good_lines_have_full_marks() -> None:
    """And nothing is said of them."""
    (verdict,) = lint([GOOD] * 3)

    assert (verdict.app, verdict.lines, verdict.score, verdict.advice) == ("shop", 3, 100, [])
    assert sum(WEIGHTS.values()) == 100


@pytest.mark.parametrize(("change", "what", "says"), [
    ({"log.flags": ["time_from_reader"]}, "timestamp", "no usable time"),
    ({"log.flags": ["time_from_runtime"]}, "timestamp", "the container runtime's is taken"),
    ({"log.level": ""}, "level", "name no level"),
    ({"message": '{"a":1}'}, "message", "have no message"),
    ({"message": "\x1b[31mred"}, "message", "colours"),
    ({"fields.service": "store"}, "service", "another service"),
    ({"service.name": "", "taskscope.task.name": "t"}, "service", "no application"),
    ({"trace.id": ""}, "trace", "no trace id"),
    ({"log.flags": ["unparsed"]}, "parsed", "could not be read"),
])  # fmt: skip
def test_what_is_missing_costs_and_is_said(change: dict[str, object], what: str, says: str) -> None:
    """Half of the lines lack one thing: half of its weight is gone."""
    verdict = (
        lint([GOOD, {**GOOD, **change}])[0]
        if "service.name" not in change
        else lint([{**GOOD, **change}])[0]
    )

    assert verdict.shares[what] <= 0.5
    assert verdict.score in {round(100 - WEIGHTS[what] / 2), 100 - WEIGHTS[what]}
    assert [advice.what for advice in verdict.advice] == [what]
    assert says in verdict.advice[0].text


def test_fields_of_two_kinds_are_named() -> None:
    """A field that is a number here and a text there is no good to anybody."""
    (verdict,) = lint([GOOD, {**GOOD, "fields.n": "one"}])

    assert verdict.advice[0].text == "the field n is number and text: keep to one"


def test_worst_first_and_our_own_events_apart() -> None:
    """Events are not the application's lines."""
    bad = {"service.name": "bad", "message": "x"}

    assert [v.app for v in lint([GOOD, bad, {**bad, "event.dataset": "task.event"}])] == [
        "bad",
        "shop",
    ]
    assert lint([bad, {**bad, "event.dataset": "task.event"}])[0].lines == 1


def test_command_judges_a_file(tmp_path: Path) -> None:
    """As text and as JSON; the exit code says whether it is good enough."""
    log = tmp_path / "app.log"
    log.write_text("2026-11-22 09:00:00 INFO [a] x.Y - one\nhello\n")

    text = CliRunner().invoke(command, ["--file", str(log)], standalone_mode=False)
    coded = CliRunner().invoke(
        command, ["--file", str(log), "--json", "--min-score", "99"], standalone_mode=False
    )

    assert "app.log: timestamp 50%" in text.output
    assert text.return_value == 0
    assert '"lines": 2' in coded.output
    assert coded.return_value == 1
