"""Shapes that hold only if something checks them: module size, docstrings, what the agent imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "alerting", "collector", "configfile", "dashboards", "discovery", "healthcheck",
    "logship", "model", "promql", "storage", "taskscope", "web",
)  # fmt: skip
MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "node_modules" not in path.parts
)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_is_small_and_says_what_it_is(path: Path) -> None:
    """At most 400 lines, and a docstring at the top."""
    text = path.read_text(encoding="utf-8")

    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text))


def test_the_agent_needs_no_log_store() -> None:
    """The agent half imports neither pyarrow nor duckdb, the two heaviest libraries."""
    program = (
        "import sys, taskscope.agent; print([m for m in ('pyarrow', 'duckdb') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"


def test_model_and_promql_read_no_clock() -> None:
    """Time is a parameter below ``taskscope/``."""
    banned = {"time", "datetime", "socket", "os", "subprocess"}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for package in ("model", "promql")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for name in [alias.name for alias in node.names]
        if name in banned
    ]

    assert found == []
