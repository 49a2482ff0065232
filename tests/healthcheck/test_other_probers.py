"""TCP and commands."""

import os
import sys
import time

import pytest

from healthcheck.check import shell
from healthcheck.prober.command import probe_in_container, probe_on_host
from healthcheck.prober.tcp import probe_tcp
from model.errors import DiscoveryError
from tests.healthcheck.servers import free_port, hang, serve


def test_tcp_that_accepts() -> None:
    """An accepted connection passes, whatever comes after it."""
    with serve(hang) as port:
        outcome = probe_tcp("127.0.0.1", port, 1.0)

    assert outcome.probe.value == "pass"


def test_tcp_that_refuses() -> None:
    """A refused one fails."""
    outcome = probe_tcp("127.0.0.1", free_port(), 1.0)

    assert outcome.probe.value == "fail"
    assert "refused" in outcome.output


def test_tcp_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence fails after the time-out."""

    def silent(*args: object, **options: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("socket.create_connection", silent)
    outcome = probe_tcp("192.0.2.1", 80, 0.5)

    assert outcome.probe.value == "fail"
    assert "within 0.5 s" in outcome.output


@pytest.mark.parametrize(
    ("command", "want", "said"),
    [
        ("echo fine", "pass", "fine"),
        ("echo broken >&2; exit 2", "fail", "exit code 2: broken"),
        ("exit 3", "fail", "exit code 3"),
        ("kill -9 $$", "fail", "exit code -9"),
        ("nosuchprogram", "fail", "exit code 127"),
        ("yes", "fail", "was not done within 0.5 s"),
        ("sleep 10", "fail", "was not done within 0.5 s"),
        ("sleep 10 & echo started", "pass", "started"),  # a stray child holds the pipe
        ("read line; echo got $line", "pass", "got"),  # stdin is empty
        ("head -c 100000 /dev/zero | tr '\\0' x", "pass", "x" * 4096),
    ],
)
def test_command_on_the_host(command: str, want: str, said: str) -> None:
    """The exit code decides, output is kept up to 4 KiB, and the time-out holds."""
    began = time.monotonic()
    outcome = probe_on_host(shell(command), 0.5)

    assert outcome.probe.value == want
    assert said in outcome.output
    assert len(outcome.output) <= 4096 + 100
    assert time.monotonic() - began < 3


def test_command_that_times_out_leaves_nothing_behind() -> None:
    """Its whole process group is killed."""
    mark = f"sleep 9{os.getpid()}"
    probe_on_host(shell(f"{mark} & {mark}"), 0.2)
    time.sleep(0.1)
    found = probe_on_host((sys.executable, "-c", _FIND, *mark.split()), 5.0)

    assert found.output == "0"


_FIND = """
import pathlib, sys
wanted = "\\0".join(sys.argv[1:]).encode() + b"\\0"
print(sum(p.read_bytes() == wanted for p in pathlib.Path("/proc").glob("[0-9]*/cmdline")))
"""


def test_command_that_is_not_there() -> None:
    """A program that the host does not have is the operator's mistake, not the task's."""
    outcome = probe_on_host(("/nosuch/program",), 1.0)

    assert (outcome.probe.value, outcome.reason) == ("error", "command")


class Runner:
    """Gives back or raises what it was made with."""

    def __init__(self, result: tuple[int, str] | Exception) -> None:
        self._result = result

    def run(
        self, container_id: str, argv: tuple[str, ...], timeout_seconds: float
    ) -> tuple[int, str]:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


@pytest.mark.parametrize(
    ("result", "want", "said"),
    [
        ((0, "ok\n"), "pass", "ok"),
        ((1, "bad\n"), "fail", "exit code 1: bad"),
        ((127, "not found"), "fail", "exit code 127: not found"),
        (TimeoutError(), "fail", "within 1 s"),
        (DiscoveryError("Docker is away"), "error", "Docker is away"),
    ],
)
def test_command_in_a_container(result: tuple[int, str] | Exception, want: str, said: str) -> None:
    """The command decides; a runtime that cannot be asked is no failure of the task."""
    outcome = probe_in_container(Runner(result), "c1", ("true",), 1.0)

    assert outcome.probe.value == want
    assert said in outcome.output
