"""The rules that come with Taskscope: good, documented, on catalogued metrics, and right."""

import re
import subprocess
from pathlib import Path

import pytest
from msgspec import Struct

from alerting.check import check
from alerting.loading import load_groups
from alerting.query import parse
from alerting.rule import AlertingRule
from alerting.rule_paths import SHIPPED_RULES
from model.catalog import CATALOG
from promql import ast
from tests.alerting.rule_tests import run_file

ROOT = Path(__file__).parents[2]
TESTS = Path(__file__).parent / "testdata" / "shipped_test.yml"


def shipped() -> list[AlertingRule]:
    """Return every shipped rule."""
    groups = load_groups([SHIPPED_RULES])
    return [rule for group in groups for rule in group.rules if isinstance(rule, AlertingRule)]


def test_the_file_has_no_problems() -> None:
    """With the real parser."""
    assert check([SHIPPED_RULES]) == []


def selected(node: object) -> set[str]:
    """Return the names of all metrics in a parsed expression."""
    if isinstance(node, ast.VectorSelector):
        return {node.name}
    if isinstance(node, tuple | list):
        return {name for item in node for name in selected(item)}
    if isinstance(node, Struct):
        return {name for field in node.__struct_fields__ for name in selected(getattr(node, field))}
    return set()


def test_every_metric_is_catalogued() -> None:
    """A rule on a metric that nobody emits would never fire."""
    used = {rule.name: selected(parse(rule.expr)) for rule in shipped()}

    assert {name for names in used.values() for name in names} <= set(CATALOG)
    assert all(used.values())


@pytest.mark.parametrize("rule", shipped(), ids=lambda rule: rule.name)
def test_every_rule_is_documented(rule: AlertingRule) -> None:
    """Summary, description, link to the logs, and a runbook that names the alert."""
    annotations = {name: text.source for name, text in rule.annotations}
    assert set(annotations) == {"summary", "description", "runbook_url", "logs_url"}
    runbook = (ROOT / annotations["runbook_url"]).read_text()

    assert runbook.startswith(f"# {rule.name}\n")
    for heading in ("## What it means", "## What to look at", "## Usual causes", "## What to do"):
        assert heading in runbook


def test_our_engine_passes_the_unit_tests(tmp_path: Path) -> None:
    """The same file that promtool runs."""
    assert run_file(TESTS, tmp_path) == []


def test_every_rule_has_a_unit_test() -> None:
    """One that fires."""
    text = TESTS.read_text()

    for rule in shipped():
        assert re.search(rf"alertname: {rule.name}\n\s+exp_alerts", text), rule.name


@pytest.mark.peer
@pytest.mark.parametrize(
    "command", [["check", "rules", str(SHIPPED_RULES)], ["test", "rules", str(TESTS)]]
)
def test_promtool_agrees(command: list[str]) -> None:
    """The real promtool accepts the rules and passes their tests."""
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
