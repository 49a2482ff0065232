"""The client's spool: what the receiver was away for is on disk, and is delivered once, whoever dies."""

import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import taskscope_logging
from tests.clients.harness import dead_port, files, logger, run, running
from tests.logship.forward.receiving import receiving
from tests.logship.harness import until
from tests.logship.recording import RecordingSink

# logs numbered lines, says when they are on disk, and stays
STAYS = """
import logging, sys, time, taskscope_logging
port, spool, name, count = sys.argv[1:]
handler = taskscope_logging.setup(name, to=f"tcp://127.0.0.1:{port}", spool=spool)
for n in range(int(count)):
    logging.info("%s %d", name, n)
while handler.spooled < int(count):
    time.sleep(0.01)
print("spooled", flush=True)
time.sleep(60)
"""
# the next process: logs one line, and ends when nothing is left
NEXT = """
import logging, sys, taskscope_logging
port, spool = sys.argv[1:]
handler = taskscope_logging.setup("next", to=f"tcp://127.0.0.1:{port}", spool=spool)
logging.info("next")
assert handler.flush(20), handler.problem
assert (handler.dropped, handler.errors) == (0, 0), handler.problem
"""


def numbered(name: str, count: int) -> list[str]:
    """Return what ``STAYS`` logs."""
    return [f"{name} {n}" for n in range(count)]


def spooled(process: "subprocess.Popen[str]") -> None:
    """Wait until ``STAYS`` has everything on disk."""
    assert process.stdout is not None
    assert process.stdout.readline() == "spooled\n"


def test_an_outage_longer_than_the_queue_loses_nothing(tmp_path: Path) -> None:
    """All arrive, in order, once, and the directory is empty then."""
    port, spool, sink = dead_port(), tmp_path / "app" / "kept", RecordingSink()
    with logger("outage", f"tcp://127.0.0.1:{port}", queue_records=200, spool=spool) as (log, handler):  # fmt: skip
        for number in range(2000):
            log.info("%d", number)
            if number % 100 == 99:
                assert until(lambda done=number: handler.spooled > done - 100)  # type: ignore[misc]  # mypy cannot infer defaults of a lambda
        assert stat.S_IMODE(files(spool)[0].stat().st_mode) == 0o600
        with receiving(tmp_path, sink=sink, port=port):
            assert until(lambda: handler.flush(0.1), 20)
            log.info("after")
            assert handler.flush(10)
            assert until(lambda: len(sink.records) == 2001)
        assert (handler.dropped, handler.problem) == (0, "")
        assert files(spool) == []

    assert sink.texts == [*map(str, range(2000)), "after"]


def test_killed_application_loses_nothing_that_was_spooled(tmp_path: Path) -> None:
    """The next process with the directory sends it before its own, in order, with the sender's own name."""
    port, spool = dead_port(), tmp_path / "kept"
    for name in ("first", "second"):  # the second finds the first's file, and leaves one of its own
        with running(STAYS, str(port), str(spool), name, "300") as process:
            spooled(process)
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert len(files(spool)) == 2
    sink = RecordingSink()
    with receiving(tmp_path, sink=sink, port=port):
        answer = run(NEXT, str(port), str(spool))
        assert (answer.returncode, answer.stderr) == (0, "")
        assert until(lambda: len(sink.records) == 601)

    assert sink.texts == [*numbered("first", 300), *numbered("second", 300), "next"]
    assert {batch.identity.app for batch in sink.batches} == {"first", "second", "next"}
    assert files(spool) == []


def test_killed_between_delivery_and_acknowledgement_repeats_nothing(tmp_path: Path) -> None:
    """Three processes send the same chunk, byte for byte; the agent takes it once, and only then is it deleted."""
    port, spool = dead_port(), tmp_path / "kept"
    with running(STAYS, str(port), str(spool), "app", "300") as process:
        spooled(process)
    with receiving(tmp_path) as agent:
        with deaf(agent.server.port) as (between, messages):
            for attempt in (1, 2):
                with running(NEXT, str(between), str(spool)):
                    assert until(lambda known=attempt: len(messages) >= known)  # type: ignore[misc]  # mypy cannot infer defaults of a lambda
            assert len(set(messages[:2])) == 1
            assert until(lambda: agent.sink.texts)
            assert agent.sink.texts[0] == "app 0"
            assert len(files(spool)) >= 1
        answer = run(NEXT, str(agent.server.port), str(spool))
        assert (answer.returncode, answer.stderr) == (0, "")
        assert until(lambda: agent.sink.texts[-1] == "next")
        assert agent.sink.texts[:300] == numbered("app", 300)
        assert set(agent.sink.texts[300:]) == {
            "next"
        }  # one more of each that had time to spool its own
    assert files(spool) == []


@contextmanager
def deaf(port: int) -> Iterator[tuple[int, list[bytes]]]:
    """Pass messages on to a server, and no answer back; yield the port, and the messages as they came."""
    messages: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            ours, _ = listener.accept()
            with ours, socket.create_connection(("127.0.0.1", port)) as server:
                ours.settimeout(0.3)
                message = b""
                try:
                    while data := ours.recv(1 << 16):
                        message += data
                        server.sendall(data)
                except TimeoutError:
                    server.recv(1 << 16)  # the agent has it
                    messages.append(message)
                    ours.settimeout(20)
                    try:
                        ours.recv(1)  # until the application dies
                    except ConnectionResetError:
                        continue
                if message == b"stop":
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], messages
    finally:
        with socket.create_connection(listener.getsockname()) as sock:
            sock.sendall(b"stop")
        thread.join()
        listener.close()


def test_living_processes_keep_their_own(tmp_path: Path) -> None:
    """Two share a directory: neither sends what the other has; what a dead one left is sent by who comes next."""
    port, spool = dead_port(), tmp_path / "kept"
    with receiving(tmp_path) as agent, running(STAYS, str(port), str(spool), "one", "50") as one:
        spooled(one)
        with running(STAYS, str(port), str(spool), "two", "50") as two:
            spooled(two)
            two.kill()
            two.wait()
            answer = run(NEXT, str(agent.server.port), str(spool))
            assert (answer.returncode, answer.stderr) == (0, "")
            assert until(lambda: len(agent.sink.records) == 51)
            assert len(files(spool)) == 1
            assert agent.sink.texts == [*numbered("two", 50), "next"]
        with receiving(tmp_path / "other", port=port) as late:
            assert until(lambda: len(late.sink.records) == 50)
            assert until(lambda: files(spool) == [])
            assert late.sink.texts == numbered("one", 50)


def test_fork_has_a_file_of_its_own(tmp_path: Path) -> None:
    """It sends nothing of its parent's; and while it lives, its dead parent's is another's to take."""
    script = STAYS.replace("print(", """
import os
if not os.fork():
    for n in range(20):
        logging.info("child %d", n)
    while handler.spooled < 20:
        time.sleep(0.01)
    print(os.getpid(), flush=True)
    time.sleep(60)
print(""")  # fmt: skip
    port, spool = dead_port(), tmp_path / "kept"
    with receiving(tmp_path) as agent, running(script, str(port), str(spool), "parent", "50") as parent:  # fmt: skip
        assert parent.stdout is not None
        said = {parent.stdout.readline() for _ in range(2)} - {"spooled\n"}
        child = int(said.pop())
        try:
            assert len(files(spool)) == 2
            parent.kill()
            parent.wait()
            answer = run(NEXT, str(agent.server.port), str(spool))
            assert (answer.returncode, answer.stderr) == (0, "")
            assert until(lambda: len(agent.sink.records) == 51)
            assert agent.sink.texts == [*numbered("parent", 50), "next"]
        finally:
            os.kill(child, signal.SIGKILL)
        assert until(lambda: run(NEXT, str(agent.server.port), str(spool)).returncode == 0 and not files(spool), 20)  # fmt: skip
        assert until(lambda: "child 19" in agent.sink.texts)
        assert [text for text in agent.sink.texts if text.startswith("child")] == numbered("child", 20)  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("agent", ["refuses", "hangs"])
def test_spooling_costs_the_application_nothing(tmp_path: Path, agent: str) -> None:
    """p99 of log.info() stays below a millisecond while a queue of 1000 goes to disk over and over; each record is accounted for.

    Calls in which the kernel gave the processor to another program tell nothing about ours.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if agent == "refuses":
        listener.close()
    spool = tmp_path / "kept"
    with logger(f"fast-{agent}", f"tcp://127.0.0.1:{port}", queue_records=1000, spool=spool) as (log, handler):  # fmt: skip
        took = []
        for number in range(5000):
            preempted = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
            began = time.perf_counter()
            log.info("number %d of the order", number, extra={"cents": number, "who": "somebody"})
            spent = time.perf_counter() - began
            if resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw == preempted:
                took.append(spent)
    listener.close()

    assert len(took) > 4000
    assert sorted(took)[len(took) * 99 // 100] < 0.001
    assert handler.spooled > 1000
    # what says that records were dropped is spooled as well
    assert 5000 <= handler.spooled + handler.dropped < 5100


def test_end_of_the_process_leaves_what_is_queued_on_disk(tmp_path: Path) -> None:
    """It does not wait for an agent that is away; nothing is dropped."""
    script = """
import logging, os, sys, taskscope_logging
handler = taskscope_logging.setup("ends", to=f"tcp://127.0.0.1:{sys.argv[1]}", exit_seconds=20)
for n in range(3000):
    logging.info("ends %d", n)
logging.shutdown()
print(handler.dropped)
"""
    port, spool = dead_port(), tmp_path / "kept"
    began = time.monotonic()
    answer = run(f"import os; os.environ['TASKSCOPE_LOGGING_SPOOL'] = {str(spool)!r}\n{script}", str(port))  # fmt: skip
    assert (answer.returncode, answer.stderr, answer.stdout) == (0, "", "0\n")
    assert time.monotonic() - began < 15
    with receiving(tmp_path, port=port) as agent:
        run(NEXT, str(port), str(spool))
        assert until(lambda: len(agent.sink.records) == 3001)
        assert agent.sink.texts == [*numbered("ends", 3000), "next"]


def test_end_of_an_interpreter_that_starts_no_threads_spools_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """As at the end of Python 3.12 and later: ``close`` does what the threads would."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    port, spool = dead_port(), tmp_path / "kept"
    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", refuse)
        with logger("ending", f"tcp://127.0.0.1:{port}", spool=spool) as (log, handler):
            for number in range(100):
                log.info("ending %d", number)
        assert (handler.dropped, handler.spooled) == (0, 100)
    with receiving(tmp_path, port=port) as agent:
        assert run(NEXT, str(port), str(spool)).returncode == 0
        assert until(lambda: len(agent.sink.records) == 101)
        assert agent.sink.texts == [*numbered("ending", 100), "next"]


def test_spool_is_off_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an argument or a variable; an empty argument stands against the variable. Standard output has none."""
    address = f"tcp://127.0.0.1:{dead_port()}"
    for name, to, variable, how, made in (
        ("off", address, "", {}, False),
        ("variable", address, "of-the-variable", {}, True),
        ("against", address, "of-the-variable", {"spool": ""}, False),
        ("argument", address, "of-the-variable", {"spool": str(tmp_path / "argument")}, True),
        ("stdout", "stdout", "of-the-variable", {}, False),
    ):
        directory = tmp_path / name
        monkeypatch.setenv("TASKSCOPE_LOGGING_SPOOL", str(directory) if variable else "")
        with logger(name, to, **how) as (log, handler):
            log.info("one")
            assert until(lambda: handler.spooled == 1) if made else not handler.flush(0.3) or to == "stdout"  # fmt: skip
        assert directory.exists() == made
    with pytest.raises(ValueError, match="the least is 1048576"):
        taskscope_logging.setup("orders", to=address, spool=tmp_path, spool_bytes=1000)
