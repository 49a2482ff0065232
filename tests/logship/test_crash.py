"""``kill -9`` at random moments, while two writers log and rotate: each line is there once."""

import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.logship.harness import until, wrap

ROOT = Path(__file__).parents[2]


class Writers:
    """Write numbered lines to a sandbox and a json-file log, renaming now and then, until stopped."""

    def __init__(self, sandbox: Path, log: Path, seed: int) -> None:
        self.written: list[str] = []
        self._paths = (sandbox / "stdout", log)
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            for path in self._paths:
                texts = [f"{path.name} {number + n}" for n in range(self._random.randrange(1, 60))]
                number += len(texts)
                if self._random.random() < 0.05:
                    texts[-1] += "\njava.lang.Oops: x\n\tat a.b.C(D.java:1)"
                    texts[-1] = f"ERROR {texts[-1]}"
                with path.open("a") as file:
                    if path.name == "stdout":
                        file.writelines(f"{text}\n" for text in texts)
                    else:
                        lines = [line for text in texts for line in text.split("\n")]
                        file.writelines(wrap(f"{line}\n", at=_now()) for line in lines)
                self.written += [text.replace("\n", "|") for text in texts]
                if self._random.random() < 0.03:
                    self._rotate(path)
            time.sleep(0.004)

    def _rotate(self, path: Path) -> None:
        for number in range(100, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.rename(path.with_name(f"{path.name}.{number + 1}"))
        path.rename(path.with_name(f"{path.name}.1"))
        path.touch()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _now() -> str:
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"


def crash_loop(directory: Path, seed: int, kills: int) -> tuple[list[str], list[str], list[str]]:
    """Return what was written, and the ids and messages that arrived."""
    sandbox, log, out = directory / "sandbox", directory / "c-json.log", directory / "out"
    sandbox.mkdir()
    child = [sys.executable, "-m", "tests.logship.crash_child", *map(str, (directory / "state", sandbox, log, out))]  # fmt: skip
    writers = Writers(sandbox, log, seed)
    chance = random.Random(seed)
    for _ in range(kills):
        process = subprocess.Popen(child, cwd=ROOT)
        until((directory / "state").exists, 10)
        time.sleep(chance.uniform(0.3, 0.9))
        process.kill()
        process.wait()
    writers.stop()
    last = subprocess.Popen(child, cwd=ROOT)
    written = writers.written
    until(lambda: out.exists() and out.read_bytes().count(b"\n") >= len(written), 20)
    time.sleep(0.3)
    last.kill()
    last.wait()
    rows = [line.split("\t", 1) for line in out.read_text().splitlines()]
    return writers.written, [row[0] for row in rows], [row[1] for row in rows]


def check(directory: Path, seed: int, kills: int) -> None:
    """No line is lost, none is there twice, traces stay whole."""
    directory.mkdir()
    written, ids, messages = crash_loop(directory, seed, kills)

    assert len(ids) == len(set(ids)), seed
    assert sorted(messages) == sorted(written), seed


@pytest.mark.slow
def test_each_line_once_after_kills(tmp_path: Path) -> None:
    """Five seeds side by side, two kills each."""
    with ThreadPoolExecutor(5) as pool:
        runs = [pool.submit(check, tmp_path / str(seed), seed, 2) for seed in range(5)]

    for run in runs:
        run.result()


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [*range(100, 103), *(pytest.param(n, marks=pytest.mark.long) for n in range(103, 120))]
)
def test_each_line_once_after_many_kills(tmp_path: Path, seed: int) -> None:
    """Twenty seeds, six kills each."""
    check(tmp_path / "run", seed, kills=6)
