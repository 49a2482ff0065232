"""A real engine process, killed without warning: no wait starts anew, nobody is paged twice."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

import pytest

from tests.alerting.hook import Hook

ROOT = Path(__file__).parents[2]


class Engines:
    """Starts one engine after the other on the same state."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory = directory
        self.state = directory / "state"
        self._url = url
        self._process: subprocess.Popen[str] | None = None
        self._lines: SimpleQueue[str] = SimpleQueue()
        self.truth("")

    def truth(self, text: str) -> None:
        """Say what the expression gives from now on."""
        new = self._directory / "truth.new"
        new.write_text(text)
        new.replace(self._directory / "truth")

    def start(self, *, for_seconds: float = 0, hold_seconds: float = 0) -> None:
        """Start one and wait until it runs."""
        arguments = [str(self._directory), self._url, str(for_seconds), str(hold_seconds)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.alerting.engine_process", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines = SimpleQueue()
        Thread(target=self._read, args=(self._process, self._lines), daemon=True).start()
        self.wait("ready")

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: "SimpleQueue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.strip())

    def wait(self, start: str, seconds: float = 20.0) -> list[str]:
        """Return the words of the next line that starts so."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, until - time.monotonic()))
            except Empty:
                pytest.fail(f"no line {start!r}")
            if line.startswith(start):
                return line.split()

    def wait_for(self, pattern: Path) -> None:
        """Wait until a file of this name has content."""
        until = time.monotonic() + 20
        while not any(path.stat().st_size for path in pattern.parent.glob(pattern.name)):
            assert time.monotonic() < until, f"{pattern.name} stayed empty"
            time.sleep(0.005)

    def wait_until_recorded(self) -> None:
        """Wait until this process has put a notification into its log."""
        self.wait_for(self.state / "notifications.log")

    def kill(self) -> None:
        """End it as the kernel would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def engines(tmp_path: Path, hook: Hook) -> Iterator[Engines]:
    """Engines that post to the hook; none is left behind."""
    made = Engines(tmp_path, hook.url)
    yield made
    made.kill()


@pytest.mark.slow
def test_killed_while_pending_the_wait_goes_on(engines: Engines, hook: Hook) -> None:
    """The alert fires ``for`` after it became active in the first process, and pages once."""
    engines.truth("a")
    engines.start(for_seconds=2)
    _, active, _ = engines.wait("pending")
    engines.wait_for(engines.state / "*.alerts")
    engines.kill()
    engines.start(for_seconds=2)
    _, active_when_fired, fired = engines.wait("firing")
    hook.wait(1)

    assert active == active_when_fired
    assert int(fired) - int(active) >= 2000
    time.sleep(0.3)
    assert [post["status"] for post in hook.posts] == ["firing"]


@pytest.mark.slow
def test_killed_while_firing_nobody_is_paged_twice_and_nothing_resolves(
    engines: Engines, hook: Hook
) -> None:
    """Two kills at random moments; after a start the samples are missing for a while."""
    chance = random.Random(4)
    engines.truth("a")
    engines.start()
    _, active, _ = engines.wait("firing")
    engines.wait_until_recorded()
    for _ in range(2):
        time.sleep(chance.random() * 0.3)
        engines.kill()
        engines.truth("")
        engines.start(hold_seconds=20)
        assert engines.wait("firing")[1] == active
        time.sleep(chance.random() * 0.4)
        engines.truth("a")
        time.sleep(0.3)

        assert [post["status"] for post in hook.posts] == ["firing"]


@pytest.mark.slow
def test_killed_around_the_end_the_end_is_told_once(engines: Engines, hook: Hook) -> None:
    """It ended while no process was there; then the process that said so is killed too."""
    engines.truth("a")
    engines.start()
    engines.wait("firing")
    engines.wait_until_recorded()
    engines.kill()
    engines.truth("")
    engines.start()
    engines.wait_until_recorded()
    engines.kill()
    engines.start()
    time.sleep(0.8)

    assert [post["status"] for post in hook.posts] == ["firing", "resolved"]
