"""``taskscope run``: real processes, their directories, and how they are found again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discovery.proc import start_ticks
from discovery.process.cgroup import cgroup_refusal
from discovery.process.source import ProcessSource
from discovery.process.spec import RunSpec, new_task_id, parse_size
from discovery.process.supervisor import supervise
from discovery.process.taskfile import read_task_file
from model.errors import OperatorError
from model.task import Task, TaskState
from tests.discovery.clock import SystemClock
from tests.discovery.conftest import Wait

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from pathlib import Path
from discovery.process.spec import RunSpec
from discovery.process.supervisor import supervise
from tests.discovery.clock import SystemClock
spec = json.loads(sys.argv[2])
spec["command"] = tuple(spec["command"])
sys.exit(supervise(RunSpec(**spec), Path(sys.argv[1]), SystemClock()))
"""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start supervisors as processes of their own, as the command line does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **spec: Any) -> "subprocess.Popen[bytes]":
        words = json.dumps({"name": "job", "command": command, **spec})
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), words], cwd=ROOT)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def task(directory: Path) -> Task | None:
    """Return the only task in a directory as its supervisor wrote it last."""
    for home in directory.iterdir():
        if (home / "task.json").exists():
            return read_task_file(home).task
    return None


def state(directory: Path) -> TaskState | None:
    """Return the only task's state."""
    found = task(directory)
    return found.status.state if found else None


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        (["sh", "-c", "echo hello; echo oops >&2"], 0, "hello\n", "oops\n"),
        (["sh", "-c", "exit 3"], 3, "", ""),
        (["sh", "-c", "kill -USR1 $$"], 138, "", ""),
        (["sh", "-c", "cat; echo done"], 0, "done\n", ""),  # stdin is empty
        (
            ["/nosuch/program"],
            127,
            "",
            "taskscope: /nosuch/program cannot be run: No such file or directory\n",
        ),
    ],
)
def test_command_ends(tmp_path: Path, command: list[str], code: int, out: str, err: str) -> None:
    """Its exit code is passed on, its output is in the sandbox, its end in the task's file."""
    got = supervise(RunSpec("job", tuple(command)), tmp_path, SystemClock())
    found = task(tmp_path)
    assert found is not None
    sandbox = Path(found.status.sandbox)

    assert got == code
    assert found.status.state is (TaskState.FAILED if code else TaskState.FINISHED)
    assert found.status.last_exit is not None
    assert found.status.last_exit.code == code
    assert (sandbox / "stdout").read_text() == out
    assert (sandbox / "stderr").read_text() == err
    assert found.identity.task_id == sandbox.parent.name


def test_identity_is_what_was_asked_for(tmp_path: Path) -> None:
    """App, namespace, labels and ports of the command line are the task's; others have defaults."""
    spec = RunSpec("job", ("true",), "prod", "node-1", "billing", "pay", ports=(80,))
    seen: list[Task] = []
    supervise(spec, tmp_path, SystemClock(), started=seen.append)
    who, status = seen[0].identity, seen[0].status

    assert (who.cluster, who.host, who.framework) == ("prod", "node-1", "process")
    assert (who.app, who.namespace, who.task_name) == ("billing", "pay", "job")
    assert (status.address, status.ports[0].container) == ("127.0.0.1", 80)


def test_restarts_are_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start is a run, with doubling pauses between, until the restarts are used up."""
    pauses: list[float] = []
    monkeypatch.setattr(
        "discovery.process.supervisor._Supervisor._pause", lambda self, s: pauses.append(s)
    )
    spec = RunSpec("job", ("sh", "-c", "exit 5"), restart=True, max_restarts=7)
    code = supervise(spec, tmp_path, SystemClock())
    found = task(tmp_path)
    assert found is not None

    assert code == 5
    assert [run.number for run in found.status.runs] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found.status.restarts == 7
    assert found.status.state is TaskState.FAILED
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_term_is_forwarded_and_ends_the_restarts(
    tmp_path: Path, begin: Callable[..., "subprocess.Popen[bytes]"], wait: Wait
) -> None:
    """The command gets the signal, may finish in its own way, and is not started again."""
    command = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    supervisor = begin("sh", "-c", command, restart=True)
    wait(lambda: list(tmp_path.glob("*/sandbox/stdout")), "the sandbox")
    out = next(tmp_path.glob("*/sandbox/stdout"))
    wait(lambda: out.read_text() == "ready\n", "it is ready")
    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(10) == 9
    assert out.read_text() == "ready\nbye\n"
    assert state(tmp_path) is TaskState.KILLED


def test_term_while_it_waits_to_be_started_again(
    tmp_path: Path, begin: Callable[..., "subprocess.Popen[bytes]"], wait: Wait
) -> None:
    """A pause between restarts ends at once."""
    supervisor = begin("false", restart=True)
    wait(lambda: state(tmp_path) is TaskState.RESTARTING, "it waits")
    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(10) == 1
    assert state(tmp_path) is TaskState.KILLED


def test_killed_supervisor_is_a_lost_task(
    tmp_path: Path, begin: Callable[..., "subprocess.Popen[bytes]"], wait: Wait
) -> None:
    """``kill -9`` of the supervisor takes the command with it; the task is lost, its run over without a code."""
    source = ProcessSource(tmp_path, clock=SystemClock(), poll_seconds=0.05)
    source.start(lambda: None)
    try:
        supervisor = begin("sleep", "1000")
        wait(lambda: state(tmp_path) is TaskState.RUNNING, "it runs")
        wait(
            lambda: [t.status.state for t in source.snapshot()] == [TaskState.RUNNING], "it is seen"
        )
        (running,) = source.snapshot()
        supervisor.kill()
        supervisor.wait()
        wait(lambda: [t.status.state for t in source.snapshot()] == [TaskState.LOST], "it is lost")
        (lost,) = source.snapshot()
        wait(lambda: not start_ticks(running.status.pid), "the command is gone")
    finally:
        source.stop()
    end = lost.status.last_exit

    assert end is not None
    assert end.code is None
    assert lost.status.run is not None
    assert lost.status.run.ended_ms is not None
    assert running.status.cgroup == lost.status.cgroup


def test_lost_task_is_the_same_after_a_restart_of_taskscope(
    tmp_path: Path, begin: Callable[..., "subprocess.Popen[bytes]"], wait: Wait
) -> None:
    """Who comes later says that it ended at its last sign of life, each time the same."""
    supervisor = begin("sh", "-c", "echo alive; sleep 1000")
    wait(lambda: any(p.stat().st_size for p in tmp_path.glob("*/sandbox/stdout")), "a line")
    last_ms = next(tmp_path.glob("*/sandbox/stdout")).stat().st_mtime_ns // 1_000_000
    supervisor.kill()
    supervisor.wait()
    seen = []
    for _ in range(2):
        source = ProcessSource(tmp_path, clock=SystemClock())
        source.start(lambda: None)
        seen.append(source.snapshot())
        source.stop()
    (lost,) = seen[0]

    assert seen[0] == seen[1]
    assert lost.status.state is TaskState.LOST
    assert lost.status.run is not None
    assert lost.status.run.ended_ms == last_ms


def test_pid_used_again_is_not_the_supervisor(tmp_path: Path) -> None:
    """Another process under the supervisor's pid does not keep its task alive."""
    supervise(RunSpec("job", ("true",)), tmp_path, SystemClock())
    file = next(tmp_path.glob("*/task.json"))
    content = json.loads(file.read_bytes())
    content["task"]["status"]["state"] = "running"
    content["supervisor_pid"], content["supervisor_start_ticks"] = os.getpid(), 1
    file.write_text(json.dumps(content))
    source = ProcessSource(tmp_path, clock=SystemClock())
    source.start(lambda: None)
    source.stop()

    assert [t.status.state for t in source.snapshot()] == [TaskState.LOST]


def test_ended_tasks_go_after_the_retention_time(tmp_path: Path) -> None:
    """They stay listed for it; then their directory is removed."""
    supervise(RunSpec("job", ("true",)), tmp_path, SystemClock())
    for retention, want in [(60.0, 1), (0.0, 0)]:
        source = ProcessSource(tmp_path, clock=SystemClock(), retention_seconds=retention)
        source.start(lambda: None)
        source.stop()

        assert len(source.snapshot()) == want
        assert len(list(tmp_path.iterdir())) == want


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"version": 7}', "has format version 7"),
        ("{", "is not readable"),
        ('{"version": 1, "task": 3}', "is not readable"),
    ],
)
def test_bad_task_files_are_counted(tmp_path: Path, content: str, sentence: str) -> None:
    """A file that is none of ours, or of another version, is said and left alone."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "task.json").write_text(content)
    (tmp_path / "empty").mkdir()
    supervise(RunSpec("job", ("true",)), tmp_path, SystemClock())
    source = ProcessSource(tmp_path, clock=SystemClock(), retention_seconds=3600)
    source.start(lambda: None)
    source.stop()

    assert len(source.snapshot()) == 1
    assert sentence in source.status().message
    assert source.status().failures == 1
    assert (tmp_path / "odd" / "task.json").read_text() == content


def test_source_without_any_task(tmp_path: Path) -> None:
    """Where nobody has run anything there is nothing, and nothing wrong."""
    source = ProcessSource(tmp_path / "tasks", clock=SystemClock())
    source.start(lambda: None)
    source.stop()
    source.stop()

    assert source.snapshot() == frozenset()
    assert source.status().ok


def needs_cgroup() -> None:
    """Leave the test out where no cgroup may be made."""
    if refusal := cgroup_refusal():
        pytest.skip(refusal)


@pytest.mark.root
def test_memory_limit(tmp_path: Path) -> None:
    """A task that outgrows its limit is killed by the kernel, and its file says so; its cgroup goes with it."""
    needs_cgroup()
    spec = RunSpec("leak", ("tail", "/dev/zero"), memory_limit_bytes=parse_size("32m"))
    code = supervise(spec, tmp_path, SystemClock())
    found = task(tmp_path)
    assert found is not None
    end = found.status.last_exit
    assert end is not None

    assert code == 137
    assert (end.signal, end.oom) == (9, True)
    assert found.status.oom_kills == 1
    assert found.status.cgroup == f"/taskscope/{found.identity.task_id}"
    assert not list(Path("/sys/fs/cgroup").glob(f"*/taskscope/{found.identity.task_id}"))


@pytest.mark.root
def test_child_killed_for_memory_is_counted_and_survived(tmp_path: Path) -> None:
    """The kernel's kill of a child is counted while the task itself ends well."""
    needs_cgroup()
    command = ("sh", "-c", "tail /dev/zero; exit 0")
    spec = RunSpec("parent", command, memory_limit_bytes=parse_size("32m"))
    code = supervise(spec, tmp_path, SystemClock())
    found = task(tmp_path)
    assert found is not None

    assert code == 0
    assert found.status.oom_kills == 1
    assert found.status.last_exit is not None
    assert not found.status.last_exit.oom


def test_limit_where_no_cgroup_is_permitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that cannot be kept is refused; without one the task runs and its file says what is missing."""

    def refuse(name: str) -> None:
        raise PermissionError(13, "Permission denied", "/sys/fs/cgroup/memory/taskscope")

    monkeypatch.setattr("discovery.process.supervisor.make_cgroup", refuse)
    with pytest.raises(OperatorError, match=r"memory cannot be limited.*Permission denied"):
        supervise(RunSpec("job", ("true",), memory_limit_bytes=1), tmp_path / "a", SystemClock())
    supervise(RunSpec("job", ("true",)), tmp_path / "b", SystemClock())
    (home,) = (tmp_path / "b").iterdir()

    assert "figures come from /proc" in read_task_file(home).note
    assert read_task_file(home).task.status.state is TaskState.FINISHED


@pytest.mark.parametrize(
    ("text", "want"),
    [("64m", 64 << 20), ("1g", 1 << 30), ("1.5GiB", 3 << 29), ("4096", 4096), ("2 kb", 2048)],
)
def test_sizes(text: str, want: int) -> None:
    """Sizes are written as for Docker."""
    assert parse_size(text) == want


@pytest.mark.parametrize("text", ["", "m", "64x", "-1", "1e3"])
def test_what_is_no_size(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(OperatorError, match="write it like 64m"):
        parse_size(text)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "ünï", "x" * 5, ".."])
def test_task_ids_are_directory_names(name: str) -> None:
    """Whatever the name, the id is one plain path component, and never the same twice."""
    first, second = new_task_id(name), new_task_id(name)

    assert Path(first).name == first
    assert not first.startswith(".")
    assert first != second
