"""The command line from outside: exit codes, errors, what is printed."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT, Stack, cli


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a Taskscope that looks at process tasks only."""
    data_dir = tmp_path_factory.mktemp("data")
    config = data_dir / "taskscope.yml"
    config.write_text("discovery: {docker: {enabled: false}}\ncollector: {interval_seconds: 1}\n")
    with Stack(data_dir, "--config", str(config)) as running:
        yield running


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "Commands:"),
        (["--version"], 0, "version"),
        (["taks"], 2, "did you mean tasks?"),
        (["up", "--listen", "0.0.0.0:9800"], 2, "not loopback"),
        (["agent", "--server", "http://192.0.2.1:9800"], 2, "only a server on this host"),
        (["tasks", "--server", "http://127.0.0.1:9"], 2, "(Connection refused); start one with"),
        (["query"], 2, "EXPRESSION"),
        (["check", "config", "nowhere.yml"], 2, "nowhere.yml: cannot be read"),
        (["run", "--name", "x", "--label", "nope", "--", "true"], 2, "write it like"),
        (["completion", "bash"], 0, "_taskscope_completion"),
    ],
)
def test_commands_say_what_they_mean(words: list[str], code: int, said: str) -> None:
    """Usage errors exit 2 with a sentence, never a traceback."""
    answer = cli(*words)

    assert answer.returncode == code
    assert said in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["completion", "bash"]])
def test_a_reader_that_goes_is_no_failure(words: list[str]) -> None:
    """As with ``| head``: nobody reads on, and nothing is said about that."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "taskscope", *words],
        check=False,
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_bad_file_is_judged_whole() -> None:
    """``check config`` prints a line for each problem and exits 2."""
    answer = cli("check", "config", "tests/taskscope/testdata/everything.bad.yml")

    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 10
    assert "everything.bad.yml:2:1: lisen: unknown key; did you mean listen?" in answer.stderr


def test_the_shipped_rules_are_good() -> None:
    """``check rules`` passes on what ships."""
    answer = cli("check", "rules", "alerting/rules/taskscope.yml")

    assert answer.returncode == 0, answer.stderr


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """It names the port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = cli("up", "--listen", f"127.0.0.1:{port}", "--data-dir", str(tmp_path))

    assert answer.returncode == 2
    assert f"127.0.0.1:{port} is in use" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_two_on_one_data_folder_are_refused(stack: Stack) -> None:
    """The second one says who has it."""
    answer = cli("up", "--listen", "127.0.0.1:0", "--data-dir", str(stack.data_dir))

    assert answer.returncode in (1, 2)
    assert "Traceback" not in answer.stderr
    assert str(stack.data_dir) in answer.stderr


def test_a_process_task_is_followed_from_start_to_end(stack: Stack) -> None:
    """``run`` makes a task; it is listed, its lines are found, its exit is known; exit codes pass through."""
    from tests.e2e.stack import eventually

    ran = cli(
        "run", "--name", "hello", "--app", "greeter", "--data-dir", str(stack.data_dir), "--",
        "sh", "-c", "echo ready to greet; echo 'level=error msg=\"no one there\"' >&2; exit 7",
    )  # fmt: skip
    assert ran.returncode == 7

    eventually("both lines", lambda: len(json_lines("app:greeter dataset:task", stack)) == 2, 15)
    shown = cli("tasks", "hello", "--json", "--server", stack.url)
    task = json.loads(shown.stdout)[0]
    assert task["state"] == "failed"
    assert task["last_exit"]["code"] == 7
    errors = json_lines("app:greeter dataset:task level:error", stack)
    assert ["no one there" in record["message"] for record in errors] == [True]
    eventually(
        "how it ended, as a record of its own",
        lambda: [
            r
            for r in json_lines("app:greeter dataset:task.event", stack)
            if "exit code 7" in r["message"]
        ],
        15,
    )
    found = cli("query", 'task_last_exit_code{app="greeter"}', "--json", "--server", stack.url)
    assert json.loads(found.stdout)["result"][0]["value"][1] == "7"


def test_an_ended_task_is_read_by_name_with_context_and_counts(stack: Stack) -> None:
    """From the real store: by name, by id, with what stands around a line, and as a histogram."""
    from tests.e2e.stack import eventually

    script = "for i in $(seq 1 30); do echo step $i; done; echo level=error msg=stumbled; echo end"
    cli("run", "--name", "walker", "--data-dir", str(stack.data_dir), "--", "sh", "-c", script)
    eventually(
        "all lines", lambda: len(json_lines("task_name:walker dataset:task", stack)) == 32, 15
    )
    ident = json.loads(cli("tasks", "walker", "--json", "--server", stack.url).stdout)[0]["id"]

    def messages(*words: str) -> list[str]:
        answer = cli("logs", "--json", *words, "--server", stack.url)
        return [json.loads(line)["message"] for line in answer.stdout.splitlines()]

    assert messages("-C", "3", ident, "level:error dataset:task")[:4] == [
        "step 28", "step 29", "step 30", "stumbled",
    ]  # fmt: skip
    assert messages("-n", "500", "walker", "dataset:task")[:3] == ["step 1", "step 2", "step 3"]
    counts = json.loads(
        cli("logs", "--histogram", "--json", "walker", "step", "--server", stack.url).stdout
    )["counts"]
    assert sum(sum(column) for column in counts.values()) == 30


def json_lines(query: str, stack: Stack) -> list[dict[str, str]]:
    """Return the documents that ``logs --json`` prints."""
    answer = cli("logs", "--json", query, "--server", stack.url)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_bad_queries_exit_2_with_their_position(stack: Stack) -> None:
    """PromQL and log queries are judged by the server; the sentence reaches the user."""
    promql = cli("query", "sum by (", "--server", stack.url)
    logs = cli("logs", 'app:"unclosed', "--server", stack.url)

    assert promql.returncode == 2
    assert "parse error" in promql.stderr
    assert logs.returncode == 2


@pytest.mark.parametrize(
    "path", ["/", "/logs", "/alerts", "/query", "/status", "/tasks/none", "/metrics", "/-/healthy"]
)
def test_every_page_answers(path: str, stack: Stack) -> None:
    """The console's pages come from the real parts, not only from the tests' fakes."""
    with urllib.request.urlopen(f"{stack.url}{path}", timeout=10) as answer:
        assert answer.status == 200
        assert answer.read()


def test_doctor_knows_the_running_server(stack: Stack, tmp_path: Path) -> None:
    """``doctor --json`` lists findings with verdicts."""
    config = tmp_path / "c.yml"
    config.write_text(
        f"listen: 127.0.0.1:{stack.port}\ndiscovery: {{docker: {{enabled: false}}}}\n"
    )

    answer = cli("doctor", "--json", "--config", str(config), data_dir=tmp_path)

    findings = {f["what"]: f for f in json.loads(answer.stdout)}
    assert "answers at" in findings["server"]["sentence"]
    assert findings["cgroups"]["verdict"] == "good"


@pytest.mark.slow
def test_data_survives_a_restart(tmp_path: Path) -> None:
    """Series and log lines of before are there after a restart on the same folder."""
    from tests.e2e.stack import eventually

    config = tmp_path / "taskscope.yml"
    config.write_text("discovery: {docker: {enabled: false}}\ncollector: {interval_seconds: 1}\n")
    with Stack(tmp_path, "--config", str(config)) as stack:
        cli("run", "--name", "once", "--data-dir", str(tmp_path), "--", "echo", "still here")
        eventually("the line", lambda: stack.logs("task_name:once still"), 15)
        eventually("a sample", lambda: stack.query("node_boot_time_seconds"), 15)
        port = stack.port
    with Stack(tmp_path, "--config", str(config), port=port) as stack:
        assert stack.logs("task_name:once still") == ["still here"]
        before = stack.get("/api/v1/query", query="count_over_time(node_boot_time_seconds[1h])")
        assert float(before["data"]["result"][0]["value"][1]) >= 1


@pytest.mark.slow
def test_agent_and_server_are_the_two_halves_of_up(tmp_path: Path) -> None:
    """What an agent collects is stored, shown and searchable at the server."""
    from tests.e2e.stack import eventually

    config = tmp_path / "taskscope.yml"
    config.write_text("discovery: {docker: {enabled: false}}\ncollector: {interval_seconds: 1}\n")
    with (
        Stack(tmp_path / "server", command="server") as server,
        Stack(
            tmp_path / "agent", "--config", str(config), "--server", server.url, command="agent"
        ) as agent,
    ):
        cli(
            "run",
            "--name",
            "far",
            "--data-dir",
            str(tmp_path / "agent"),
            "--",
            "sh",
            "-c",
            "echo from afar; sleep 3",
        )
        eventually("its line", lambda: server.logs("task_name:far afar"), 15)
        eventually("its series", lambda: server.query('task_info{task_name="far"}'), 15)
        eventually(
            "the task",
            lambda: any(t["identity"]["task_name"] == "far" for t in server.get("/api/tasks")),
            15,
        )
        assert agent.get("/api/status")["kind"] == "agent"


@pytest.mark.slow
def test_following_loses_nothing_over_a_restart(tmp_path: Path) -> None:
    """``logs -f`` goes on where it was when the server comes back, and says so on stderr."""
    from tests.e2e.stack import eventually

    config = tmp_path / "taskscope.yml"
    config.write_text("discovery: {docker: {enabled: false}}\ncollector: {interval_seconds: 1}\n")
    with (
        Stack(tmp_path, "--config", str(config)) as stack,
        (tmp_path / "f.jsonl").open("w+") as out,
    ):
        words = ["logs", "-f", "--json", "task_name:talker", "--server", stack.url]
        # where tests run in the background the shell has them ignore it, and so would the child
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        follower = subprocess.Popen(
            [sys.executable, "-m", "taskscope", *words],
            cwd=ROOT, stdout=out, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        signal.signal(signal.SIGINT, before)
        seen = Path(out.name)
        talker = ("run", "--name", "talker", "--data-dir", str(tmp_path), "--", "sh", "-c")
        try:
            cli(*talker, "for i in 1 2 3; do echo number $i; sleep 0.2; done")
            eventually("the first lines", lambda: "number 3" in seen.read_text(), 15)
            stack.stop()
            cli(*talker, "echo number 4")
            stack.start()
            cli(*talker, "echo number 5")
            eventually("the last line", lambda: "number 5" in seen.read_text(), 20)
        finally:
            follower.send_signal(signal.SIGINT)
            said = follower.communicate(timeout=10)[1]
    messages = [json.loads(line)["message"] for line in seen.read_text().splitlines()]
    assert sorted(m for m in messages if m.startswith("number")) == [
        f"number {i}" for i in range(1, 6)
    ]
    assert "the server has gone" in said
    assert "Traceback" not in said
    assert follower.returncode == 0
