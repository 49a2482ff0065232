"""Whatever an operator writes is answered, never crashed on."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.query import parse as parse_expression
from alerting.rule_file import judge
from alerting.template import RenderError, TemplateError, parse
from alerting.template.functions import FUNCTIONS
from configfile.document import parse as parse_yaml
from model.errors import ConfigError

PIECES = [
    "{{", "}}", "{{-", "-}}", "{{ ", " }}", "if ", "else ", "end ", "$labels", "$value", ".app", ".", "$x", ":=", "=",
    "|", "(", ")", '"', '"a"', "`", "1", "-2.5", "1e400", " ", "\n", "/*", "*/", "true ", "text", "'", "é", "%d", '"%5.1f %q"',
    *[f"{name} " for name in FUNCTIONS],
]  # fmt: skip
VARIABLES = {"labels": {"app": "shop"}, "value": 1.5}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_a_template_is_refused_or_filled_in(text: str) -> None:
    """Only ever with its own two errors; a refusal is placed within the text."""
    offset = 0
    try:
        template = parse(text, VARIABLES)
        with suppress(RenderError):
            template.render({"Labels": {}}, VARIABLES)
    except TemplateError as error:
        offset = error.offset

    assert 0 <= offset <= len(text)


names = [
    "groups",
    "name",
    "interval",
    "rules",
    "record",
    "alert",
    "expr",
    "for",
    "labels",
    "annotations",
    "limit",
    "nope",
]
values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["up", "sum(", "{{ $x }}", "1m", "", "é !!", None, True, 1, -1, 2.5]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(names), inner, max_size=5)
    ),
    max_leaves=12,
)
rules = st.dictionaries(st.sampled_from(names), values, max_size=6)
files = st.one_of(
    values,
    st.fixed_dictionaries(
        {
            "groups": st.lists(
                st.fixed_dictionaries({"name": values, "rules": st.lists(rules, max_size=3)}),
                max_size=3,
            )
        }
    ),
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(files, st.booleans())
def test_a_rule_file_has_groups_or_problems(data: Any, flow: bool) -> None:
    """Each problem has a place in the file."""
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)
    try:
        document = parse_yaml(text, "f.yml")
    except ConfigError:
        return
    found = judge(document, lambda: text, parse_expression, 15_000)

    assert not (found.groups and found.problems)
    lines = text.count("\n") + 1
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in found.problems)


def test_no_bytes_are_too_odd(tmp_path: Path) -> None:
    """A file that is no text has one problem."""
    from alerting.check import check

    path = tmp_path / "rules.yml"
    for content in (b"\xff\xfe\x00", b"\x00", b"groups: [", b"\t- a", b"a: &a [*a]", b"[" * 5000):
        path.write_bytes(content)
        assert len(check([path])) >= 1
