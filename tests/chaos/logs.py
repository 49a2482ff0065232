"""Log shipping under ``kill -9``, rotation storms, a failing Elasticsearch and a full disk.

``python -m tests.chaos.logs --kills 200 --seed 1`` writes numbered lines with twenty writers, kills the agent again and
again (every other time at a failpoint), and asks Elasticsearch at the end for everything: exit status 1 if a line
is lost, there twice, changed or out of order. Needs a real Elasticsearch; without root the disk is never full.
"""

import argparse
import itertools
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from logship.places import PLACES
from tests.chaos.backend import FAULTS, Backend
from tests.chaos.disk import SmallDisk
from tests.chaos.logs_oracle import Verdict, judge
from tests.chaos.logs_report import report
from tests.chaos.stored import Stored
from tests.chaos.writer import Kind, Writer

ROOT: Final = Path(__file__).parents[2]
ELASTICSEARCH: Final = f"http://127.0.0.1:{os.environ.get('TASKSCOPE_TEST_ES_PORT', '19200')}"
KINDS: Final = (
    Kind("docker-json", "none"), Kind("docker-json", "rename"), Kind("docker-json", "rename", banner=True),
    Kind("docker-text", "rename"), Kind("docker-text", "copytruncate"), Kind("docker-json", "copytruncate", rude=True),
    Kind("docker-json", "recreate"), Kind("docker-text", "recreate", banner=True),
    Kind("json", "none"), Kind("json", "rename"), Kind("json", "rename", banner=True), Kind("text", "rename"),
    Kind("json", "copytruncate"), Kind("text", "copytruncate", banner=True), Kind("bare", "copytruncate", rude=True),
    Kind("text", "recreate"), Kind("bare", "recreate", rude=True, banner=True), Kind("bare", "rename"), Kind("text", "none"), Kind("bare", "none"),
)  # fmt: skip
_OFTEN: Final = ("bulk", "buffer", "checkpoint")  # places that are reached several times a second
_LONGEST_SECONDS: Final = 4.0  # a failpoint that is not reached by then counts as a kill at random
_CALM_EVERY: Final = 10
_SETTLE_SECONDS: Final = 120.0


class Span(Struct):
    """Something that went on for a while; monotonic seconds."""

    name: str
    start: float
    end: float = 0.0


class Outcome(Struct):
    """A whole run.

    Attributes:
        writers: With their ledgers.
        kills: Each kill's place (``random`` or a failpoint), from the agent's start to its death.
        faults: Each fault's time.
        spoilt: How many requests met each fault of the backend.
        settle_seconds: How long the last agent took to catch up.
        indices: Backing indices at the end.
        verdict: Of the oracle.
    """

    writers: list[Writer]
    kills: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)
    spoilt: dict[str, int] = field(default_factory=dict)
    settle_seconds: float = 0.0
    indices: int = 0
    verdict: Verdict = field(default_factory=Verdict)


class Agents:
    """Starts agents, one at a time, and sees them die."""

    def __init__(self, scratch: Path, state: Path, url: str, namespace: str, writers: list[Writer]) -> None:  # fmt: skip
        self._file = scratch / "agent.json"
        tasks = [{"name": w.name, "form": w.kind.form, "path": str(w.path)} for w in writers]
        self._how = {"state": str(state), "url": url, "namespace": namespace, "tasks": tasks}
        self._said = (scratch / "agent.log").open("ab")

    @contextmanager
    def running(self, die: str = "") -> Iterator["subprocess.Popen[bytes]"]:
        """Run one until the block ends; it is ready, or died at its failpoint before."""
        self._file.write_text(json.dumps(self._how | {"die": die}), encoding="utf-8")
        command = [sys.executable, "-m", "tests.chaos.logs_agent", str(self._file)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said) as agent:  # fmt: skip
            assert agent.stdout is not None
            ready = agent.stdout.readline()
            try:
                if ready != b"ready\n" and not die:
                    raise RuntimeError(f"the agent did not start: see {self._said.name}")
                yield agent
            finally:
                agent.kill()

    def one(self, die: str, seconds: float) -> Span:
        """Let one live so long after it is ready, or until its failpoint."""
        life = Span("random", time.monotonic())
        with self.running(die) as agent:
            try:
                agent.wait(seconds)
            except subprocess.TimeoutExpired:
                agent.kill()
            else:
                if agent.returncode != -9:
                    raise RuntimeError(f"the agent ended by itself: see {self._said.name}")
                life.name = die.partition(":")[0]
        life.end = time.monotonic()
        return life


class Weather(threading.Thread):
    """One fault after another, each for some seconds, with pauses; none while ``calm``."""

    def __init__(self, backend: Backend, disk: SmallDisk | None, seed: int) -> None:
        super().__init__(name="weather", daemon=True)
        self.spans: list[Span] = []
        self.calm = threading.Event()
        self._backend = backend
        self._disk = disk
        self._random = random.Random(seed)
        self._end = threading.Event()

    def run(self) -> None:
        """Go round until stopped."""
        every = [*FAULTS, "rollover", "full disk"] if self._disk else [*FAULTS, "rollover"]
        while not self._end.is_set():
            self._random.shuffle(every)
            for name in every:
                self._end.wait(self._random.uniform(0.3, 2.0))
                while self.calm.is_set() and not self._end.is_set():
                    self._end.wait(0.1)
                if self._end.is_set():
                    return
                self._one(name)

    def _one(self, name: str) -> None:
        span = Span(name, time.monotonic())
        self.spans.append(span)
        seconds = self._random.uniform(1.0, 4.0)
        if name == "rollover":
            self._backend.rollover()
        elif name == "full disk":
            assert self._disk is not None
            with self._disk.full():
                self._end.wait(seconds)
        else:
            self._backend.set(name)
            self._end.wait(seconds)
            self._backend.set("")
        span.end = time.monotonic()

    def stop(self) -> None:
        """End; everything is whole again."""
        self._end.set()
        self.join()


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
        outcome = Outcome(writers, spoilt=backend.spoilt)
        url = f"http://127.0.0.1:{backend.port}"
        agents = Agents(scratch, scratch / "state", url, namespace, writers)
        weather = Weather(backend, disk, seed)
        outcome.faults = weather.spans
        try:
            for thread in (*writers, weather):
                thread.start()
            for life in _lives(kills, seed, seconds, agents, weather):
                outcome.kills.append(life)
                yield outcome
            weather.stop()
            for writer in writers:
                writer.stop()
            _settle(outcome, agents, stored)
            ledgers = {w.name: (w.kind, w.ledger) for w in writers}
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
        times = rng.randrange(1, 8) if place.startswith(_OFTEN) else rng.randrange(1, 3)
        calm = number % _CALM_EVERY == _CALM_EVERY - 2
        if calm:  # so that patient writers get their turn
            weather.calm.set()
        lives = _LONGEST_SECONDS if place or calm else rng.uniform(0.0, 3.0)
        yield agents.one(f"{place}:{times}" if place else "", lives)
        weather.calm.clear()
        time.sleep(rng.choice((0.0, 0.0, 0.0, rng.uniform(0.0, 1.0))))  # rotations meet no agent


def _settle(outcome: Outcome, agents: Agents, stored: Stored) -> None:
    """Let an agent catch up; then another start from the checkpoint must find nothing to do."""
    expected = {w.name: w.ledger.lines() for w in outcome.writers}
    began = time.monotonic()
    with agents.running() as agent:
        counts: dict[str, int] = {}
        moved = began
        while time.monotonic() - moved < 8.0 and time.monotonic() - began < _SETTLE_SECONDS:
            now = stored.counts()
            if now != counts:
                counts, moved = now, time.monotonic()
            if all(counts.get(name, 0) >= count for name, count in expected.items()):
                break
            time.sleep(0.5)
        outcome.settle_seconds = moved - began
        _end(agent)
    with agents.running() as agent:
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
    print(report(outcome))
    return 0 if well(outcome) else 1


def well(outcome: Outcome) -> bool:
    """Tell whether nothing is amiss."""
    return bool(outcome.verdict.checked) and not outcome.verdict.findings and not any(w.problem for w in outcome.writers)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
