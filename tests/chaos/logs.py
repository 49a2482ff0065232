"""Log shipping under ``kill -9``, rotation storms, a failing Elasticsearch and a full disk.

``python -m tests.chaos.logs --kills 200 --seed 1`` writes numbered lines with twenty writers, kills the agent again and
again (every other time at a failpoint), and asks Elasticsearch at the end for everything: exit status 1 if a line
is lost, there twice, changed or out of order. Needs a real Elasticsearch; without root the disk is never full.
"""

import argparse
import itertools
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from logship.failpoints import PLACES
from tests.chaos.agents import Agents
from tests.chaos.backend import Backend
from tests.chaos.disk import SmallDisk
from tests.chaos.events import Events
from tests.chaos.logs_oracle import judge
from tests.chaos.logs_report import report
from tests.chaos.outcome import Outcome, Span
from tests.chaos.stored import Stored
from tests.chaos.weather import Weather
from tests.chaos.writer import Kind, Writer

ELASTICSEARCH: Final = f"http://127.0.0.1:{os.environ.get('TASKSCOPE_TEST_ES_PORT', '19200')}"
KINDS: Final = (
    Kind("docker-json", "none"), Kind("docker-json", "rename"), Kind("docker-json", "rename", banner=True),
    Kind("docker-text", "gz"), Kind("docker-text", "copytruncate"), Kind("docker-json", "copytruncate", rude=True),
    Kind("docker-json", "recreate"), Kind("docker-text", "recreate", banner=True), Kind("docker-json", "gz", banner=True),
    Kind("json", "copy-beside"), Kind("json", "rename"), Kind("json", "rename", banner=True), Kind("text", "rename"),
    Kind("json", "copytruncate"), Kind("text", "copytruncate", banner=True), Kind("bare", "copytruncate", rude=True),
    Kind("text", "recreate"), Kind("bare", "recreate", rude=True, banner=True), Kind("bare", "gz"), Kind("text", "symlink"),
)  # fmt: skip
_OFTEN: Final = ("bulk", "buffer", "checkpoint")  # places that are reached several times a second
_LONGEST_SECONDS: Final = 4.0  # a failpoint that is not reached by then counts as a kill at random
_CALM_EVERY: Final = 10
_SETTLE_SECONDS: Final = 120.0
_QUIET_SECONDS: Final = 10.0  # when nothing has come for so long, nothing will


def run(kills: int, seed: int, scratch: Path, seconds: float = float("inf")) -> Iterator[Outcome]:
    """Yield the outcome after each kill, and the last time with the verdict.

    Args:
        kills: How many.
        seed: Of everything that is left to chance here.
        scratch: An empty directory.
        seconds: No kill begins after so long.
    """
    namespace = f"chaos{secrets.token_hex(4)}"
    stored = Stored(ELASTICSEARCH, namespace)
    with (
        Backend(int(ELASTICSEARCH.rsplit(":", 1)[1]), stored.stream, seed) as backend,
        SmallDisk.mounted(scratch / "state") as disk,
    ):
        writers = [_writer(n, kind, scratch, seed, stored) for n, kind in enumerate(KINDS)]
        events = Events(scratch / "events.ledger")
        outcome = Outcome([*writers, events], spoilt=backend.spoilt)
        agents = Agents(
            scratch, writers, state=str(scratch / "state"), url=f"http://127.0.0.1:{backend.port}",
            namespace=namespace, events=str(events.path), seed=seed,
        )  # fmt: skip
        weather = Weather(backend, disk, seed)
        outcome.faults = weather.spans
        try:
            with agents.running():  # archives that are older than the first agent are nobody's
                time.sleep(1.0)
            for thread in (*writers, weather):
                thread.start()
            for life in _lives(kills, seed, seconds, agents, weather):
                outcome.kills.append(life)
                yield outcome
            weather.stop()
            for writer in writers:
                writer.stop()
            _settle(writers, outcome, agents, stored)
            events.read()
            ledgers = {w.name: (w.kind, w.ledger) for w in outcome.writers}
            outcome.verdict = judge(stored.documents(), ledgers, seed)
            outcome.indices = stored.indices()
            yield outcome
        finally:
            stored.delete()


def _writer(number: int, kind: Kind, scratch: Path, seed: int, stored: Stored) -> Writer:
    name = f"w{number:02d}"
    file = f"{name}-json.log" if kind.form.startswith("docker") else "stdout"
    return Writer(name, kind, scratch / "logs" / name / file, seed, stored.arrived)


def _lives(kills: int, seed: int, seconds: float, agents: Agents, weather: Weather) -> Iterator[Span]:  # fmt: skip
    """Kill: every other time at random 0 to 3 s after it is ready, else at the next failpoint."""
    rng = random.Random(seed)
    places = itertools.cycle(rng.sample(PLACES, len(PLACES)))
    end = time.monotonic() + seconds
    for number in range(kills):
        if time.monotonic() > end:
            return
        place = next(places) if number % 2 else ""
        times = rng.randrange(1, 5) if place.startswith(_OFTEN) else 1
        calm = number % _CALM_EVERY == _CALM_EVERY - 2
        if calm:  # so that patient writers get their turn
            weather.calm.set()
        lives = _LONGEST_SECONDS if place or calm else rng.uniform(0.0, 3.0)
        yield agents.one(f"{place}:{times}" if place else "", lives)
        weather.calm.clear()
        time.sleep(rng.choice((0.0, 0.0, 0.0, rng.uniform(0.0, 1.0))))  # rotations meet no agent


def _settle(writers: list[Writer], outcome: Outcome, agents: Agents, stored: Stored) -> None:  # fmt: skip
    """Let an agent catch up; then another start from the checkpoint must find nothing to do."""
    expected = {w.name: w.ledger.lines() for w in writers if not w.kind.rude}
    began = time.monotonic()
    with agents.running(events="") as agent:
        counts: dict[str, int] = {}
        moved, quiet = began, _QUIET_SECONDS
        while time.monotonic() - moved < quiet and time.monotonic() - began < _SETTLE_SECONDS:
            now = stored.counts()
            if now != counts:
                counts, moved = now, time.monotonic()
            if all(counts.get(name, 0) >= count for name, count in expected.items()):
                quiet = 2.0  # more than that were lines too many
            time.sleep(0.5)
        outcome.settle_seconds = moved - began
        _end(agent)
    with agents.running(events="") as agent:
        time.sleep(2.0)
        _end(agent)


def _end(agent: "subprocess.Popen[bytes]") -> None:
    assert agent.stdin is not None
    agent.stdin.close()
    if agent.wait(30) != 0:
        raise RuntimeError(f"the agent did not stop well: {agent.returncode}")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no kill after so long")
    parser.add_argument("--keep", type=Path, help="directory to work in and to leave")
    wanted = parser.parse_args()
    try:
        urllib.request.urlopen(ELASTICSEARCH, timeout=10).close()
    except OSError as error:
        parser.error(f"needs an Elasticsearch at {ELASTICSEARCH}: {error}")
    print(f"seed {wanted.seed}: --seed {wanted.seed} does the same again", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-logs-") as made:
        scratch = wanted.keep or Path(made)
        scratch.mkdir(parents=True, exist_ok=True)
        outcome: Outcome | None = None
        for number, outcome in enumerate(run(wanted.kills, wanted.seed, scratch, 60 * wanted.minutes), 1):  # fmt: skip
            if not outcome.verdict.checked:
                life = outcome.kills[-1]
                written = sum(w.ledger.lines() for w in outcome.writers)
                print(f"{number:4d} {life.name:24} lived {life.end - life.start:5.2f} s  written {written:8d}", flush=True)  # fmt: skip
        assert outcome is not None
        (scratch / "findings").write_text("".join(f"{f}\n" for f in outcome.verdict.findings), encoding="utf-8")  # fmt: skip
    print(report(outcome))
    return 0 if outcome.well else 1


if __name__ == "__main__":
    sys.exit(main())
