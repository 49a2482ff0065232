"""Relabelling, case by case as Prometheus does it."""

from typing import Any

import pytest

from collector.scrape.relabel import RelabelRule, relabel

LABELS = {"a": "foo", "b": "bar", "c": "baz"}


def rule(**words: Any) -> RelabelRule:
    """Return one step; source labels as a comma-separated text."""
    sources = tuple(s for s in words.pop("source", "").split(",") if s)
    return RelabelRule(source_labels=sources, **words)


@pytest.mark.parametrize(
    ("step", "change"),
    [
        (rule(source="a", regex="f(.*)", target_label="d", replacement="ch${1}-ch${1}"), {"d": "choo-choo"}),
        (rule(source="a,b", regex="f(.*);(.*)r", target_label="a", replacement="b${1}${2}m"), {"a": "boobam"}),
        (rule(source="a", regex="no", target_label="d", replacement="x"), {}),
        (rule(source="a", regex="o", target_label="d", replacement="x"), {}),  # anchored
        (rule(source="a", regex="f.*", target_label="a", replacement=""), {"a": None}),
        (rule(source="zz", target_label="d", replacement="all"), {"d": "all"}),
        (rule(source="a", regex="(?P<x>f)oo", target_label="d", replacement="$x$$${9}"), {"d": "f$"}),
        (rule(source="a", regex="(f)oo", target_label="l_$1", replacement="y"), {"l_f": "y"}),
        (rule(source="a", regex="foo|bar", action="keep"), {}),
        (rule(source="a", regex="fo", action="keep"), None),
        (rule(source="a", regex="foo", action="drop"), None),
        (rule(source="zz", regex="", action="drop"), None),
        (rule(source="a", target_label="b", action="keepequal"), None),
        (rule(source="a", target_label="a", action="keepequal"), {}),
        (rule(source="a", target_label="a", action="dropequal"), None),
        (rule(source="a", target_label="b", action="dropequal"), {}),
        (rule(source="c", target_label="d", modulus=1000, action="hashmod"), {"d": "976"}),
        (rule(regex="(b|c)", replacement="${1}_new", action="labelmap"), {"b_new": "bar", "c_new": "baz"}),
        (rule(regex="(b|c)", action="labeldrop"), {"b": None, "c": None}),
        (rule(regex="(b|c)", action="labelkeep"), {"a": None}),
        (rule(source="a", target_label="d", action="uppercase"), {"d": "FOO"}),
        (rule(source="a,b", separator="/", target_label="d", action="lowercase"), {"d": "foo/bar"}),
    ],
)  # fmt: skip
def test_one_step(step: RelabelRule, change: dict[str, str | None] | None) -> None:
    """What a step changes in {a: foo, b: bar, c: baz}; None drops it all (cases of relabel_test.go)."""
    want = None
    if change is not None:
        want = {k: v for k, v in {**LABELS, **change}.items() if v is not None}

    assert relabel(LABELS, [step]) == want


def test_steps_follow_each_other() -> None:
    """Each step sees what the one before made; the input is not changed."""
    steps = [
        rule(source="a", target_label="d", replacement="1"),
        rule(source="d", regex="1", target_label="e", replacement="2"),
    ]

    assert relabel(LABELS, steps) == {**LABELS, "d": "1", "e": "2"}
    assert LABELS == {"a": "foo", "b": "bar", "c": "baz"}


def test_a_value_with_line_breaks_matches_whole() -> None:
    """The dot takes line breaks too."""
    assert relabel({"a": "x\ny"}, [rule(source="a", regex="x.y", action="drop")]) is None


def test_a_bad_pattern_is_refused() -> None:
    """A pattern that RE2 does not know raises with the reason."""
    with pytest.raises(ValueError, match="missing \\)"):
        rule(regex="(")
