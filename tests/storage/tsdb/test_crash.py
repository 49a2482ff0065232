"""``kill -9`` at random moments: what was acknowledged is there afterwards, and equal."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.labels import Labels
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from tests.fakes.clock import FakeClock
from tests.storage.histograms import Histogram
from tests.storage.points import samples
from tests.storage.tsdb.crash_writer import LATE, LATE_FLOATS, SETTINGS, histogram, labels_of

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


Value = tuple[int, int | Histogram]  # start timestamp, and bits or histogram


def allowed(ledger: Path) -> tuple[dict[Labels, dict[int, list[Value]]], float]:
    """Return which values may be there for what must be there, and the newest exemplar.

    Usually one: what was acknowledged last. A later append of the same time that the writer tried
    when it was killed may have been stored before it could say so.
    """
    wanted: dict[Labels, dict[int, list[Value]]] = {}
    newest = 0.0
    for line in ledger.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            continue  # the writer died while it wrote this
        kind, target, number, ts = line.split()
        at, labels = int(ts), labels_of(int(target))
        if kind == "scrape":
            for i, one in enumerate(labels[: int(number)]):
                wanted.setdefault(one, {})[at] = [(0, bits(at / 1000 + i))]
            continue
        for i, one in enumerate(labels[:LATE]):
            values = wanted.setdefault(one, {})
            hist = histogram(int(number), at)
            value = (at - int(number), bits(float(number)) if i < LATE_FLOATS else hist)
            if kind == "late":
                values[at] = [value]
            elif at in values:
                values[at].append(value)
        if kind == "late":
            newest = float(number)
    return wanted, newest


def bits(value: float) -> int:
    """Return the bits of a float."""
    return int(np.float64(value).view(np.int64))


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

        wanted, newest = allowed(ledger)
        clock = FakeClock(first_ms + ROUND_MS // 2)
        db = Tsdb(tmp_path / "tsdb", SETTINGS, clock, CollectorRegistry())
        db.start()
        found = {
            labels: {ts: (start, value) for ts, start, value in every}
            for labels, every in samples(db.select([], 0, clock.now_ns(), Hints())).items()
        }
        exemplars = db.exemplars([[]], 0, clock.now_ns())
        db.stop()

        assert wanted
        for labels, values in wanted.items():
            missing = {t: v for t, v in values.items() if found[labels].get(t) not in v}
            assert not missing, labels
        assert exemplars[0].exemplars[-1].value >= newest
