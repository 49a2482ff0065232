"""``kill -9`` at random moments while senders wait for acknowledgements: each line is there once."""

import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.logship.forward.receiving import Client, event_time, packed
from tests.logship.harness import until

ROOT = Path(__file__).parents[3]


class Sender:
    """Sends numbered records, and lines in two parts, each again until it is acknowledged."""

    def __init__(self, name: str, port: int, seed: int) -> None:
        self.acknowledged: list[str] = []
        self._name = name
        self._port = port
        self._chance = random.Random(seed)
        self._client: Client | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        own = {"container_id": self._name * 8, "source": "stdout"}
        while not self._stop.is_set():
            if self._chance.random() < 0.3:
                text = f"{self._name} {number}"
                parts: list[Any] = [
                    ["t", event_time(), {**own, "log": f"{text} first half,", "partial_message": "true"}],
                    ["t", event_time(), {**own, "log": " second half", "partial_message": "true", "partial_last": "true"}],
                ]  # fmt: skip
                for part, message in enumerate(parts):
                    self._until_acknowledged([*message, {"chunk": f"{text}/{part}"}])
                self.acknowledged.append(f"{text} first half, second half")
                number += 1
            else:
                texts = [f"{self._name} {number + n}" for n in range(self._chance.randrange(1, 30))]
                number += len(texts)
                entries = packed(*({"message": text} for text in texts))
                self._until_acknowledged([f"{self._name}.x", entries, {"chunk": texts[0]}])
                self.acknowledged += texts
            time.sleep(0.003)

    def _until_acknowledged(self, message: Any) -> None:
        """A chunk that was sent is sent again until it is known to be there, as Fluentd does."""
        while True:
            try:
                if self._client is None:
                    self._client = Client(self._port)
                if self._client.ask(message) == {"ack": message[-1]["chunk"]}:
                    return
            except OSError:
                time.sleep(0.01)
            if self._client is not None:
                self._client.sock.close()
                self._client = None

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._client is not None:
            self._client.sock.close()


def crash_loop(directory: Path, seed: int, kills: int) -> tuple[list[str], list[str], list[str]]:
    """Return what was acknowledged, and the ids and messages that arrived."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    out = directory / "out"
    child = [sys.executable, "-m", "tests.logship.forward.crash_child", str(directory / "state"), str(port), str(out)]  # fmt: skip
    chance = random.Random(seed)
    senders = [Sender(name, port, seed + n) for n, name in enumerate(("aaaaaaaa", "bbbbbbbb"))]
    process = subprocess.Popen(child, cwd=ROOT)
    for _ in range(kills):
        until(lambda: _listens(port), 30)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait()
        process = subprocess.Popen(child, cwd=ROOT)
    for sender in senders:
        sender.stop()
    expected = [text for sender in senders for text in sender.acknowledged]
    until(lambda: out.read_bytes().count(b"\n") >= len(expected), 20)
    time.sleep(1.5)  # what would come twice, or late, comes now
    process.kill()
    process.wait()
    rows = [line.split(b"\t", 1) for line in out.read_bytes().splitlines()]
    return expected, [row[0].decode() for row in rows], [row[1].decode() for row in rows]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def judge(directory: Path, seed: int, kills: int) -> None:
    """What was acknowledged arrived, once."""
    expected, ids, messages = crash_loop(directory, seed, kills)

    assert len(ids) == len(set(ids))
    assert len(expected) > 20 * kills
    assert sorted(messages) == sorted(expected)


def test_kill_loses_and_repeats_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """A few kills, with each commit."""
    judge(tmp_path, 1, 4)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(400)
def test_many_kills(tmp_path: Path) -> None:
    """The same for longer."""
    judge(tmp_path, 2, 40)
