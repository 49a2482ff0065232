"""The short form of ``make chaos-tsdb``."""

from pathlib import Path

import pytest

from tests.chaos.tsdb import run


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    """Kills at random and at failpoints: nothing acknowledged is lost, nothing is wrong or there twice."""
    kills = list(run(10, 1, tmp_path))

    assert [kill.verdict for kill in kills if not kill.verdict.well] == []
    assert all(kill.verdict.checked for kill in kills)
    assert {kill.place for kill in kills} > {"random"}
