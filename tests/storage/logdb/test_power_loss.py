"""The power goes at any step: what was promised is there, once, and nothing else is."""

import itertools
from pathlib import Path

import pytest

from storage.interface import LogQuery
from storage.logdb.logdb import LogDb
from tests.fakes.clock import FakeClock
from tests.fakes.crashing_files import CrashingFiles, State
from tests.storage.logdb.logs import make_batch, make_db

PER_BATCH = 3


def _lines(n: int) -> list[str]:
    return [f"line {n} {i}" for i in range(PER_BATCH)]


def _states(directory: Path) -> list[State]:
    """Return what a power loss can leave of a store that takes, seals, merges and forgets."""
    directory.mkdir()
    clock = FakeClock()
    with CrashingFiles(directory) as disk:
        disk.promised = (0, 0)  # first and last batch that have to be there
        db = make_db(directory, clock, sync_seconds=60.0, retention_ns=10**18)
        db.start()
        for n in range(7):
            db.append(make_batch(_lines(n), task=f"t{n % 2}", offset=n * 1000))
            db._writer.sync()
            disk.promised = (0, n + 1)
            if n in (1, 3, 5):
                db.seal()
            if n == 5:
                assert db._maintenance.merge()
        db.stop()
    return disk.states


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """All states."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogDb, "_maintain_loop", lambda db: None)
        patch.setattr(LogDb, "_sync_loop", lambda db: None)
        patch.setattr("storage.logdb.merge.FAN_IN", 3)
        return _states(tmp_path_factory.mktemp("disk") / "logs")


@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_every_state_gives_what_was_promised(
    states: list[State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """In every state all that was promised is found, in order; sending all again stores the rest only."""
    monkeypatch.setattr(LogDb, "_maintain_loop", lambda db: None)
    assert len(states) > 200
    for number, state in enumerate(itertools.islice(states, 0, None, step)):
        directory = state.lay_out(tmp_path / str(number))
        db = make_db(directory)
        db.start()
        found = [r.document["message"] for r in db.search(LogQuery(limit=100)).records]
        _, promised = state.promised
        wanted = {line for n in range(promised) for line in _lines(n)}
        assert len(found) == len(set(found)), state.step
        assert wanted <= set(found), state.step
        assert set(found) <= {line for n in range(7) for line in _lines(n)}
        # an unfinished write at the end of the log is all that may be called lost
        assert all(".wal" in sentence for sentence in db.lost), (state.step, db.lost)
        stored = 0
        for n in range(7):
            delivery, _ = db.append(make_batch(_lines(n), task=f"t{n % 2}", offset=n * 1000))
            stored += delivery.status.tolist().count(201)
        db.seal()
        again = [r.document["message"] for r in db.search(LogQuery(limit=100)).records]
        db.stop()
        assert stored == 7 * PER_BATCH - len(found), state.step
        assert sorted(again) == sorted(line for n in range(7) for line in _lines(n)), state.step
