"""``kill -9`` at random moments: what was acknowledged is there afterwards, and equal. The long run is tests/chaos."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from storage.tsdb.db import Tsdb
from tests.fakes.clock import FakeClock
from tests.storage.tsdb.crash_ledger import Ledger, Verdict
from tests.storage.tsdb.crash_writer import SETTINGS

ROOT = Path(__file__).parents[3]
FIRST_MS = 1_767_225_600_000
ROUND_MS = 86_400_000  # each round writes a day of its own


def write_until_killed(
    directory: Path, ledger: Path, first_ms: int, seconds: float, die: str = ""
) -> bool:
    """Start a writer and kill it some time after it is ready; True if it died of itself before.

    Args:
        directory: The store's.
        ledger: Where it writes what was acknowledged.
        first_ms: Time of its first scrape.
        seconds: How long it writes.
        die: Failpoint and count at which it kills itself, "" for none.
    """
    script = "tests.storage.tsdb.crash_writer"
    command = [sys.executable, "-m", script, str(directory), str(ledger), str(first_ms), die]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        ready = writer.stdout.readline()
        assert ready == "ready\n" or die
        try:
            writer.wait(seconds)
        except subprocess.TimeoutExpired:
            writer.kill()
            return False
    assert writer.returncode == -9, "it ended otherwise than by the failpoint"
    return True


def reopen(directory: Path, ledger: Path, now_ms: int) -> tuple[Verdict, float]:
    """Start the store again and check everything; also how long the start took in seconds."""
    db = Tsdb(directory, SETTINGS, FakeClock(now_ms), CollectorRegistry())
    began = time.monotonic()
    db.start()
    seconds = time.monotonic() - began
    try:
        return Ledger(ledger).check(db), seconds
    finally:
        db.stop()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_acknowledged_samples_survive_kills(tmp_path: Path) -> None:
    """Round after round on the same directory, nothing that a ticket confirmed is missing or changed."""
    ledger = tmp_path / "ledger"
    for number, seconds in enumerate((0.3, 0.8)):
        first_ms = FIRST_MS + number * ROUND_MS
        write_until_killed(tmp_path / "tsdb", ledger, first_ms, seconds)

        verdict, _ = reopen(tmp_path / "tsdb", ledger, first_ms + ROUND_MS // 2)

        assert not Ledger(ledger).empty
        assert verdict.checked > 0
        assert verdict.well, verdict
