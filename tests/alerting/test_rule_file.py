"""Rule files: what is read, and every problem with its place."""

from pathlib import Path

import pytest

from alerting.check import check
from alerting.loading import load_groups
from alerting.place import locate
from alerting.rule import AlertingRule, RecordingRule
from alerting.rule_paths import SHIPPED_RULES, files_of
from configfile.document import parse as parse_yaml
from configfile.duration import parse_duration
from model.errors import ConfigError, ParseError

GOOD = """
groups:
  - name: one
    interval: 1m
    limit: 10
    query_offset: 30s
    labels: {team: shop, severity: none}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: up == 0
        for: 1m30s
        keep_firing_for: 5m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.job }} is down"}
  - name: two
    rules: []
"""


def expression(text: str) -> object:
    """Stand in for the parser: an exclamation mark is a mistake."""
    at = text.find("!!")
    if at >= 0:
        raise ParseError(f"1:{at + 1}: parse error: unexpected !!", at, at + 2)
    return text


def write(tmp_path: Path, text: str, name: str = "rules.yml") -> Path:
    """Write a rule file."""
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_good_file_becomes_groups(tmp_path: Path) -> None:
    """Defaults are filled in, the group's labels join the rules' own, which win."""
    one, two = load_groups([write(tmp_path, GOOD)], expression, 15.0)

    assert (one.interval_ms, one.limit, one.query_offset_ms) == (60_000, 10, 30_000)
    assert (two.interval_ms, two.limit, two.query_offset_ms, two.rules) == (15_000, 0, 0, ())
    record, alert = one.rules
    assert record == RecordingRule(
        "job:up:sum", "sum by (job) (up)", (("severity", "none"), ("team", "shop"))
    )
    assert isinstance(alert, AlertingRule)
    assert (alert.for_ms, alert.keep_firing_for_ms) == (90_000, 300_000)
    assert [(n, t.source) for n, t in alert.labels] == [("severity", "page"), ("team", "shop")]


BAD = """\
groups:
  - name: one
    interval_: 1m
    rules:
      - alert: Down
        expr: up !! 0
        for: 5 minutes
        annotations:
          summary: >-
            the instance
            {{ $label.job }} is down
      - record: x
        expr: "sum(!!)"
        for: 1m
      - expr: up
      - alert: Both
        record: both
        expr: |
          up ==
            !! 0
"""


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    """Structure, durations, expressions and templates in one answer, in the file's order."""
    path = write(tmp_path, BAD)
    found = [(p.line, p.column, p.key, p.message) for p in check([path], expression)]

    assert [(line, column) for line, column, _, _ in found] == [
        (3, 5), (6, 18), (7, 14), (11, 16), (12, 9), (13, 20), (15, 9), (16, 9), (20, 13),
    ]  # fmt: skip
    assert found[0][3] == "unknown key; did you mean interval?"
    assert found[1][2:] == ("groups.0.rules.0.expr", "1:4: parse error: unexpected !!")
    assert "not a valid duration: '5 minutes'; write" in found[2][3]
    assert found[3][3].startswith("template: undefined variable '$label'; known here:")
    assert "for has no meaning in a recording rule" in found[4][3]
    assert "exactly one of record and alert" in found[6][3]


def test_problems_of_all_files_come_together(tmp_path: Path) -> None:
    """And load_groups raises them as one."""
    bad = write(tmp_path, "groups: [{name: a, rules: [{alert: A, expr: '!!'}]}]", "a.yml")
    none = tmp_path / "none.yml"
    twice = write(tmp_path, "groups: [{name: a}, {name: b}, {name: a}]", "t.yml")
    with pytest.raises(ConfigError) as caught:
        load_groups([bad, none, twice], expression)

    assert [Path(p.file).name for p in caught.value.problems] == ["a.yml", "none.yml", "t.yml"]
    assert "cannot be read" in caught.value.problems[1].message
    assert "stands twice" in caught.value.problems[2].message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "groups:",
        "groups: 3",
        "groups: [3]",
        "groups: [{rules: {}}]",
        "- a",
        "groups: [{name: a, rules: [[]]}]",
    ],
)
def test_odd_files_are_answered_not_crashed_on(tmp_path: Path, text: str) -> None:
    """A file without groups is good, as for promtool; the rest has problems."""
    found = check([write(tmp_path, text)], expression)

    assert bool(found) == (text not in ("", "groups:"))


@pytest.mark.parametrize(
    ("yaml", "offset", "want"),
    [
        ("k: up !! 0", 3, (1, 7)),
        ("k: 'a''b !!'", 4, (1, 10)),
        ('k: "up !!"', 3, (1, 8)),
        ("k: |\n  up\n    !!", 3, (3, 5)),
        ("k: >-\n  up\n  !!", 3, (3, 3)),
        ("k: up\n  !!", 3, (2, 3)),
        ("k: |-\n\n  !!", 1, (3, 3)),
        ("k: up", 2, (1, 6)),
    ],
)
def test_a_character_of_a_value_is_found_in_the_file(
    yaml: str, offset: int, want: tuple[int, int]
) -> None:
    """However YAML quotes or folds it."""
    document = parse_yaml(yaml, "f")
    start = document.values["k",]

    assert locate(yaml, start.line, start.column, document.data["k"], offset) == want


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("15s", 15_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("1m500ms", 60_500)],
)
def test_durations(text: str, ms: int) -> None:
    """Prometheus's words."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "5", "5 m", "-1m", "1m1h", "1.5h", 7, None])
def test_bad_durations(text: object) -> None:
    """A number without unit is refused, as Prometheus does."""
    with pytest.raises(ValueError, match="not a valid duration"):
        parse_duration(text)


def test_patterns_name_files(tmp_path: Path) -> None:
    """Relative to the configuration's directory; a plain name is kept though there is no file."""
    b, a = write(tmp_path, "", "b.yml"), write(tmp_path, "", "a.yml")

    assert files_of(["*.yml", "none.yaml"], tmp_path, shipped=True) == [
        SHIPPED_RULES, a, b, tmp_path / "none.yaml",
    ]  # fmt: skip
    assert files_of([str(a)], Path("/elsewhere"), shipped=False) == [a]
    assert files_of([str(tmp_path / "b*")], Path("/elsewhere"), shipped=False) == [b]
