"""The short form of ``make chaos-logs``."""

import secrets
from pathlib import Path

import pytest

from tests.chaos.logs import run
from tests.chaos.logs_report import report

MINUTES = 1.75  # then it catches up and everything is looked at
SEED = int.from_bytes(secrets.token_bytes(4), "big")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.elasticsearch
@pytest.mark.timeout(300)
def test_each_line_once_whatever_fails(tmp_path: Path) -> None:
    """Twenty writers that rotate, kills at random and at failpoints, a failing Elasticsearch, a full disk: each line is there once."""
    *_, outcome = run(60, SEED, tmp_path, 60 * MINUTES)

    assert outcome.well, f"seed {SEED}{report(outcome)}"
    assert outcome.verdict.checked > 10_000
    assert {life.name for life in outcome.kills} > {"random"}
    assert len(outcome.spoilt) >= 5, "hardly any fault was met"
