"""Tasks pushed from agents to the server, and their format."""

import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.remote import PushedTasks, StatePusher
from discovery.wire import AgentState, decode, encode_state
from model.errors import DiscoveryError
from model.health import CheckKind, HealthResult, Probe, TaskHealth
from model.task import Exit, HealthStatus, Port, Run, Task, TaskID, TaskState
from tests.discovery.clock import SystemClock
from tests.discovery.conftest import Wait
from tests.fakes.clock import FakeClock
from tests.fakes.tasks import FakeTaskSource, make_task


def healthy(task: Task) -> TaskHealth:
    """Return the health of a task with one check."""
    result = HealthResult(
        task.identity,
        "http",
        CheckKind.READINESS,
        Probe.PASS,
        HealthStatus.HEALTHY,
        changed=True,
        at_ms=5,
        duration_seconds=0.5,
        failures=0,
        output="ok",
    )
    return TaskHealth(HealthStatus.HEALTHY, 7, True, (result,))


class Healths:
    """Healths filled by hand."""

    def __init__(self, *tasks: Task) -> None:
        self.known = {task.identity.task_id: healthy(task) for task in tasks}

    def healths(self) -> Mapping[TaskID, TaskHealth]:
        return self.known


@settings(deadline=None)
@given(
    st.builds(
        make_task,
        st.text(max_size=8),
        app=st.text(max_size=8),
        state=st.sampled_from(TaskState),
        runs=st.lists(
            st.builds(
                Run,
                st.integers(1, 9),
                st.integers(0, 2**50),
                st.none() | st.integers(0, 2**50),
                st.none() | st.builds(Exit, st.none() | st.integers(0, 255), st.integers(0, 64)),
            ),
            max_size=3,
        ).map(tuple),
        ports=st.lists(st.builds(Port, st.integers(1, 65535)), max_size=2).map(tuple),
        cpu_limit=st.floats(0, 1e6),
        labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3).map(
            MappingProxyType
        ),
    )
)
def test_round_trip(task: Task) -> None:
    """What comes out is what went in."""
    healths = {task.identity.task_id: healthy(task)}

    state = decode(encode_state([task], healths, "host-1"), AgentState)

    assert state == AgentState(1, "host-1", (task,), {str(task.identity.task_id): healthy(task)})


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is not readable"),
        (b"[]", "is not readable"),
        (b"{}", "is not readable"),
        (
            b'{"version": 2, "host": "h", "tasks": [], "healths": {}}',
            "has format version 2; .* knows 1",
        ),
        (b'{"version": 1, "host": "h", "tasks": [{}], "healths": {}}', "is not readable"),
        (b'{"version": 1, "host": "h", "tasks": "x", "healths": {}}', "is not readable"),
        (b"\xff\xfe", "is not readable"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, sentence: str) -> None:
    """With a sentence; and the server keeps what it has."""
    with pytest.raises(DiscoveryError, match=sentence):
        decode(data, AgentState)
    pushed = PushedTasks(FakeClock())
    pushed.ingest(encode_state([make_task()], {}, "host-1"))
    with pytest.raises(DiscoveryError):
        pushed.ingest(data)

    assert len(pushed.snapshot()) == 1
    assert pushed.status().failures == 1


def test_fields_of_later_are_ignored() -> None:
    """An agent that is a little newer is understood."""
    data = encode_state([make_task()], {}, "host-1")
    newer = data.replace(b'"version":1', b'"version":1,"color":"blue"').replace(
        b'"framework"', b'"zone":"z","framework"'
    )

    assert decode(newer, AgentState) == decode(data, AgentState)


def test_hosts_are_apart() -> None:
    """Each push replaces what was known of its host, and of no other."""
    pushed, changes = PushedTasks(FakeClock()), []
    pushed.start(lambda: changes.append(1))
    one, two, three = make_task("a"), make_task("b"), make_task("c")
    pushed.ingest(encode_state([one, two], Healths(one).known, "host-1"))
    pushed.ingest(encode_state([three], {}, "host-2"))
    pushed.ingest(encode_state([three], {}, "host-2"))
    pushed.ingest(encode_state([two], {}, "host-1"))

    assert pushed.snapshot() == {two, three}
    assert pushed.healths() == {}
    assert len(changes) == 3


def test_silent_host_keeps_its_tasks() -> None:
    """After a minute the status says so; the tasks stay as they were last seen."""
    clock = FakeClock()
    pushed = PushedTasks(clock)
    pushed.ingest(encode_state([make_task("a")], {}, "host-1"))
    clock.advance(50)
    pushed.ingest(encode_state([make_task("b")], {}, "host-2"))

    assert pushed.status().ok

    clock.advance(15)

    assert not pushed.status().ok
    assert pushed.status().message == (
        "2 agents; silent, their tasks stay as they were last seen: host-1 (65 s)"
    )
    assert len(pushed.snapshot()) == 2


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, _Server)
        status = server.answer if self.path == "/api/agent/state" else 404
        if status == 204:
            server.tasks.ingest(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    answer = 204

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tasks = PushedTasks(SystemClock())


@pytest.fixture
def server() -> Iterator[_Server]:
    """A server that takes pushes."""
    made = _Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_push(server: _Server, wait: Wait) -> None:
    """Changes of tasks arrive at once, healths with the next push, and a refusal is made good later."""
    first, second, third = make_task("a"), make_task("b"), make_task("c")
    source, healths = FakeTaskSource(first), Healths()
    url = f"http://127.0.0.1:{server.server_port}"
    pusher = StatePusher(url, source, healths, "host-1", push_seconds=30)
    pusher.start()
    try:
        wait(lambda: server.tasks.snapshot() == {first}, "the first task")
        source.set(first, second)
        wait(lambda: server.tasks.snapshot() == {first, second}, "the second task")
        healths.known = Healths(second).known
        source.set(first, second, third)
        wait(lambda: server.tasks.healths() == healths.known, "the health")

        assert pusher.status().ok

        server.answer = 503
        source.set(first, second)
        wait(lambda: not pusher.status().ok, "the refusal")

        assert f"{url} does not take our tasks: 503" in pusher.status().message

        server.answer = 204
        source.set(first)
        wait(lambda: server.tasks.snapshot() == {first}, "the newest")
    finally:
        pusher.stop()
        pusher.stop()


def test_push_to_nobody(wait: Wait) -> None:
    """A server that is away is said and tried again; stopping does not take long."""
    pusher = StatePusher("http://127.0.0.1:1", FakeTaskSource(), Healths(), "h", push_seconds=0.05)
    pusher.start()
    wait(lambda: pusher.status().failures >= 2, "two tries")
    pusher.stop()

    assert "Connection refused" in pusher.status().message
