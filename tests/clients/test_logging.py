"""The applications' own distribution: one call, JSON lines with trace ids, nothing that blocks or raises."""

import json
import logging
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

import taskscope_logging
from model.log import Level
from taskscope_logging import Handler
from taskscope_logging._fields import Fields
from taskscope_logging._outlets import Stdout
from tests.clients.harness import dead_port, environment, lines, logger, run
from tests.logship.forward.receiving import receiving
from tests.logship.harness import until
from tests.logship.recording import RecordingSink


def test_lines_on_stdout_are_consistent() -> None:
    """Each has time, level, message, service and logger; what is extra stands beside, never over them."""
    script = """
import logging, warnings, taskscope_logging
logging.basicConfig()
taskscope_logging.setup("orders", namespace="eu", version="1.2", level="DEBUG", fields={"team": "pay"})
log = logging.getLogger("orders.pay")
log.debug("with %s", "arguments")
log.info("paid\\nin two lines", extra={"cents": 250, "message_id": "m", "nested": {"a": (1, {2})}, "service.name": "other", "odd": object})
log.warning("wrong %d", "x")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
warnings.warn("old")
log.critical("\\ud800 half a pair")
"""
    found = lines(run(script))

    assert [line["log.level"] for line in found] == ["debug", "info", "warn", "error", "warn", "fatal"]  # fmt: skip
    for line in found:
        assert list(line)[:3] == ["@timestamp", "log.level", "message"]
        assert (line["service.name"], line["service.namespace"], line["service.version"], line["team"]) == ("orders", "eu", "1.2", "pay")  # fmt: skip
    assert found[0]["message"] == "with arguments"
    assert found[1]["message"] == "paid\nin two lines"
    assert (found[1]["cents"], found[1]["nested"], found[1]["extra.service.name"], found[1]["odd"]) == (250, {"a": [1, [2]]}, "other", "<class 'object'>")  # fmt: skip
    assert found[2]["message"] == "wrong %d (its arguments do not fit: TypeError)"
    assert (found[3]["error.type"], found[3]["error.message"]) == ("ZeroDivisionError", "division by zero")  # fmt: skip
    assert found[3]["error.stack_trace"].startswith("Traceback")
    assert "UserWarning: old" in found[4]["message"]
    assert found[5]["message"] == "? half a pair"


def test_records_over_forward_carry_trace_ids_and_arrive_whole(tmp_path: Path) -> None:
    """As the agent understands them: level, time, message, trace, application."""
    with receiving(tmp_path) as agent, logger("traced", f"tcp://127.0.0.1:{agent.server.port}") as (log, handler):  # fmt: skip
        span = NonRecordingSpan(SpanContext(0xAB << 120, 0xCD, is_remote=False, trace_flags=TraceFlags(1)))  # fmt: skip
        before = time.time_ns()
        with use_span(span):
            log.error("declined", extra={"cents": 250})
        assert handler.flush(10)
        assert until(lambda: agent.sink.records)

    (batch,) = agent.sink.batches
    own = json.loads(batch.buf[batch.fields.starts[0] : batch.fields.ends[0]])
    assert (batch.text(0), int(batch.levels[0]), batch.identity.app) == ("declined", Level.ERROR, "orders")  # fmt: skip
    assert batch.trace_ids == {0: f"{0xAB << 120:032x}"}
    assert (own["span.id"], own["cents"]) == (f"{0xCD:016x}", 250)
    assert before - 10**6 < int(batch.ts_ns[0]) < time.time_ns()
    assert (handler.dropped, handler.errors) == (0, 0)


@pytest.mark.alone
@pytest.mark.parametrize("agent", ["refuses", "hangs"])
def test_dead_agent_costs_the_application_nothing(agent: str) -> None:
    """p99 of log.info() stays below a millisecond; what does not fit the queue is counted.

    Calls in which the kernel gave the processor to another program tell nothing about ours.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if agent == "refuses":
        listener.close()
    with logger(f"dead-{agent}", f"tcp://127.0.0.1:{port}", queue_records=1000) as (log, handler):
        took = []
        for number in range(5000):
            preempted = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
            began = time.perf_counter()
            log.info("number %d of the order", number, extra={"cents": number, "who": "somebody"})
            spent = time.perf_counter() - began
            if resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw == preempted:
                took.append(spent)
        dropped = handler.dropped
        began = time.monotonic()
    ended = time.monotonic() - began
    listener.close()

    assert len(took) > 4000
    assert sorted(took)[len(took) * 99 // 100] < 0.001
    assert 2500 < dropped <= 4000
    assert handler.dropped == 5000
    assert ended < 1.5


def test_agent_that_comes_back_gets_what_waited_and_how_much_was_lost(tmp_path: Path) -> None:
    """The newest records, in order, and one that says how many are missing."""
    port = dead_port()
    sink = RecordingSink()
    with logger("back", f"tcp://127.0.0.1:{port}", queue_records=100) as (log, handler):
        for number in range(150):
            log.info("%d", number)
        with receiving(tmp_path, sink=sink, port=port):
            assert until(lambda: handler.flush(0.1), 20)
            assert until(lambda: len(sink.records) >= 100)
        lost = handler.dropped

    said = [text for text in sink.texts if "dropped" in text]
    numbers = [int(text) for text in sink.texts if "dropped" not in text]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 149
    assert len(numbers) + lost == 150
    assert [int(text.split()[0]) for text in said] == ([lost] if lost else [])


def test_lost_acknowledgement_repeats_nothing(tmp_path: Path) -> None:
    """The connection is cut before each first answer; the chunk is sent again and taken once."""
    with receiving(tmp_path) as agent:
        cutting = _Cutting(agent.server.port)
        with logger("cut", f"tcp://127.0.0.1:{cutting.port}") as (log, handler):
            for number in range(20):
                log.info("%d", number)
                assert until(lambda: handler.flush(0.1))
        cutting.stop()
        assert until(lambda: len(agent.sink.records) == 20)

    assert agent.sink.texts == [str(number) for number in range(20)]
    assert cutting.cuts > 5


class _Cutting:
    """Passes bytes on to a server, and ends every other connection instead of passing an answer back."""

    def __init__(self, port: int) -> None:
        self.cuts = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while True:
            ours, _ = self._listener.accept()
            number += 1
            with ours, socket.create_connection(("127.0.0.1", self._port)) as server:
                while data := ours.recv(1 << 16):
                    if data == b"stop":
                        return
                    server.sendall(data)
                    answer = server.recv(1 << 16)
                    if number % 2:
                        self.cuts += 1
                        break
                    ours.sendall(answer)
                    break

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"stop")
        self._thread.join()
        self._listener.close()


def test_fork_sends_each_record_once(tmp_path: Path) -> None:
    """A child begins with an empty queue and a connection of its own, also when it is forked with a full one."""
    script = """
import logging, os, sys, taskscope_logging
handler = taskscope_logging.setup("forks", to=f"tcp://127.0.0.1:{sys.argv[1]}")
log = logging.getLogger()
for n in range(200):
    log.info("parent %d", n)
children = []
for child in range(3):
    pid = os.fork()
    if not pid:
        for n in range(50):
            log.info("child %d %d", child, n)
        logging.shutdown()
        os._exit(0)
    children.append(pid)
for n in range(200, 300):
    log.info("parent %d", n)
for pid in children:
    os.waitpid(pid, 0)
"""
    with receiving(tmp_path) as agent:
        answer = run(script, str(agent.server.port))
        assert (answer.returncode, answer.stderr) == (0, "")
        assert until(lambda: len(agent.sink.records) >= 450)
        time.sleep(0.2)

    expected = {f"parent {n}" for n in range(300)} | {f"child {c} {n}" for c in range(3) for n in range(50)}  # fmt: skip
    assert set(agent.sink.texts) == expected
    assert len(agent.sink.texts) == 450


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "1 / 0", "import threading; threading.Thread(target=lambda: (__import__('time').sleep(0.2), logging.info('late'))).start()"])  # fmt: skip
def test_end_of_the_process_delivers_what_is_queued(tmp_path: Path, ending: str) -> None:
    """However it ends in order, and whoever logs last."""
    script = f"""
import logging, sys, taskscope_logging
taskscope_logging.setup("ends", to=f"tcp://127.0.0.1:{{sys.argv[1]}}")
for n in range(500):
    logging.info("%d", n)
{ending}
"""
    with receiving(tmp_path) as agent:
        run(script, str(agent.server.port))
        expected = 501 if "late" in ending else 500
        assert until(lambda: len(agent.sink.records) == expected)


def test_end_of_the_process_waits_no_longer_than_told() -> None:
    """With nobody there, and with a standard output that nobody reads."""
    port = dead_port()
    script = "import logging, sys, taskscope_logging\ntaskscope_logging.setup('e', to=sys.argv[1], exit_seconds=0.5)\nfor n in range(20000): logging.info('%d ' + 'x' * 100, n)"  # fmt: skip
    began = time.monotonic()
    assert run(script, f"tcp://127.0.0.1:{port}").returncode == 0
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", script, "stdout"], stdout=writing, env=environment())  # fmt: skip
    assert process.wait(20) == 0
    os.close(reading)
    os.close(writing)

    assert time.monotonic() - began < 15


def test_nothing_re_enters_or_raises() -> None:
    """An argument that logs while it is made a text, and one that cannot be."""

    class Chatty:
        def __str__(self) -> str:
            log.info("from within")
            return "chatty"

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    reading, writing = os.pipe()
    handler = Handler(
        Fields({}), Stdout(writing),
        queue_records=10, queue_bytes=10_000, exit_seconds=1,
    )  # fmt: skip
    log = logging.getLogger("test-re-enters")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.info("%s", Chatty())
    log.info("%s", Broken(), extra={"broken": Broken(), "deep": _nested(50), "nan": float("nan"), "huge": 10**30})  # fmt: skip
    assert handler.flush(5)
    log.removeHandler(handler)
    handler.close()
    found = [json.loads(line) for line in os.read(reading, 1 << 16).splitlines()]
    os.close(reading)
    os.close(writing)

    assert [line["message"] for line in found][:2] == ["chatty", "%s (its arguments do not fit: RuntimeError)"]  # fmt: skip
    assert found[1]["broken"] == "<Broken without a text: RuntimeError>"
    assert (found[1]["nan"], found[1]["huge"]) == ("nan", str(10**30))
    assert handler.dropped == 1


def _nested(depth: int) -> Any:
    return [_nested(depth - 1)] if depth else []


@pytest.mark.parametrize("to", ["fluentd:24224", "udp://x:1", "tcp://x", "stderr"])
def test_wrong_address_is_said(to: str) -> None:
    """When it is set up, not when it is used."""
    with pytest.raises(ValueError, match="it looks like stdout or tcp"):
        taskscope_logging.setup("orders", to=to)
