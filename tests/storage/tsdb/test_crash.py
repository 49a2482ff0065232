"""``kill -9`` at random moments: what was acknowledged is there afterwards, and equal."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from model.labels import Labels
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from tests.fakes.clock import FakeClock
from tests.storage.points import points
from tests.storage.tsdb.crash_writer import SETTINGS, labels_of

ROOT = Path(__file__).parents[3]
FIRST_MS = 1_767_225_600_000
ROUND_MS = 86_400_000  # each round writes a day of its own


def write_until_killed(directory: Path, ledger: Path, first_ms: int, seconds: float) -> None:
    """Start a writer and kill it some time after it is ready."""
    script = "tests.storage.tsdb.crash_writer"
    command = [sys.executable, "-m", script, str(directory), str(ledger), str(first_ms)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(seconds)
        writer.kill()


def allowed(ledger: Path) -> dict[Labels, dict[int, set[float]]]:
    """Return which values may be there for what must be there.

    Usually one: what was acknowledged last. A later append of the same time that the writer tried
    when it was killed may have been stored before it could say so.
    """
    wanted: dict[Labels, dict[int, set[float]]] = {}
    for line in ledger.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            continue  # the writer died while it wrote this
        kind, target, number, ts = line.split()
        labels = labels_of(int(target))
        if kind == "scrape":
            for i, one in enumerate(labels[: int(number)]):
                wanted.setdefault(one, {})[int(ts)] = {int(ts) / 1000 + i}
            continue
        for one in labels[:7]:
            values = wanted.setdefault(one, {})
            if kind == "late":
                values[int(ts)] = {float(number)}
            elif int(ts) in values:
                values[int(ts)].add(float(number))
    return wanted


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("seed", "kills"), [(1, 2), *(pytest.param(s, 10, marks=pytest.mark.slow) for s in (2, 3))]
)
def test_acknowledged_samples_survive_kills(tmp_path: Path, seed: int, kills: int) -> None:
    """Round after round on the same directory, nothing that a ticket confirmed is missing or changed."""
    rng = random.Random(seed)
    ledger = tmp_path / "ledger"
    for number in range(kills):
        first_ms = FIRST_MS + number * ROUND_MS
        write_until_killed(tmp_path / "tsdb", ledger, first_ms, rng.uniform(0.05, 0.9))

        wanted = allowed(ledger)
        clock = FakeClock(first_ms + ROUND_MS // 2)
        db = Tsdb(tmp_path / "tsdb", SETTINGS, clock, CollectorRegistry())
        db.start()
        found = {
            labels: dict(samples)
            for labels, samples in points(db.select([], 0, clock.now_ns(), Hints())).items()
        }
        db.stop()

        assert wanted
        for labels, samples in wanted.items():
            missing = {t: v for t, v in samples.items() if found[labels].get(t) not in v}
            assert not missing, labels
