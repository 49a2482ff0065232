"""The rule engine against promtool: one file of rules and expectations, run by both."""

import subprocess
from pathlib import Path

import pytest

from tests.alerting.rule_tests import run_file

TESTS = Path(__file__).parent / "testdata" / "engine_test.yml"


def test_our_engine_does_what_promtool_does(tmp_path: Path) -> None:
    """Order of rules, label precedence, states, series and every template function."""
    assert run_file(TESTS, tmp_path) == []


@pytest.mark.peer
def test_promtool_agrees() -> None:
    """The expectations are not only ours."""
    done = subprocess.run(
        ["promtool", "test", "rules", str(TESTS)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
