"""What operators get wrong: every problem at once with its place, exit code 2, and never a traceback."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.faults import configure, running_task
from tests.e2e.stack import ROOT, Stack, cli, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = """\
listn: 127.0.0.1:9800
collector:
  interval_seconds: fast
logship:
  sinks:
    - type: elasticsearch
      endpoints: http://127.0.0.1:9200
      password: abc
alerting:
  receivers: [{type: webhok}]
"""
CONFIG_PROBLEMS = (
    ":1:1: listn: unknown key; did you mean listen?",
    ":3:21: collector.interval_seconds: should be a number",
    ":7:18: logship.sinks.0.endpoints: should be a list",
    ":8:7: logship.sinks.0.password: unknown key; did you mean password_file?",
    ":10:15: alerting.receivers.0: type 'webhok' is not known; it is one of",
)
RULES = """\
groups:
  - name: a
    rules:
      - alert: X
        expr: sum by (app (up)
        for: 5 minutes
        annotations:
          summary: "{{ $labels.app | nope }}"
      - alrt: Y
        expr: up
      - alert: Z
        expr: up ==
"""
RULES_PROBLEMS = (
    ":5:27: groups.0.rules.0.expr: ",
    ":6:14: groups.0.rules.0.for: not a valid duration",
    ":8:38: groups.0.rules.0.annotations.summary: template: function 'nope' is not defined",
    ":9:9: groups.0.rules.1.alrt: unknown key; did you mean alert?",
    ":12:20: groups.0.rules.2.expr: ",
)
GOOD_RULES = "groups: [{name: a, rules: [{alert: Good, expr: vector(1)}]}]\n"
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start one Taskscope with a rule file of its own."""
    data_dir = tmp_path_factory.mktemp("data")
    (data_dir / "rules.yml").write_text(GOOD_RULES)
    config = configure(data_dir / "taskscope.yml", alerting={"rule_files": ["rules.yml"]})
    with Stack(data_dir, "--config", str(config)) as running:
        yield running


@pytest.mark.parametrize("command", ["check config", "up"])
@pytest.mark.parametrize("what", ["configuration", "rules"])
def test_every_problem_of_a_file_is_named(what: str, command: str, tmp_path: Path) -> None:
    """Line, column, key, and what would be right; exit code 2."""
    file, rules = tmp_path / "taskscope.yml", tmp_path / "rules.yml"
    rules.write_text(RULES)
    file.write_text(CONFIG if what == "configuration" else "alerting: {rule_files: [rules.yml]}")
    words = ["up", "--data-dir", str(tmp_path / "data"), "--config"] if command == "up" else command.split()  # fmt: skip

    answer = cli(*words, str(file), timeout_seconds=30)

    bad, wanted = (file, CONFIG_PROBLEMS) if what == "configuration" else (rules, RULES_PROBLEMS)
    lines = answer.stderr.splitlines()
    assert answer.returncode == 2
    assert len(lines) == len(wanted)
    for line, want in zip(lines, wanted, strict=True):
        assert line.startswith(f"{bad}{want}")


def reload(stack: Stack) -> tuple[int, str]:
    """Ask for a reload; return the answer's status and text."""
    request = urllib.request.Request(f"{stack.url}/-/reload", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_bad_file_at_reload_keeps_the_old_rules(stack: Stack) -> None:
    """The answer is 400 with the problems; a file that is good again is taken up."""

    def rules() -> set[str]:
        groups = stack.get("/api/v1/rules")["data"]["groups"]
        return {r["name"] for g in groups for r in g["rules"]} & {"Good", "Better"}

    file = stack.data_dir / "rules.yml"
    file.write_text(RULES)
    status, text = reload(stack)
    assert status == 400
    assert all(f"{file}{problem}" in text for problem in RULES_PROBLEMS)
    assert rules() == {"Good"}
    before = stack.get("/api/v1/status/runtimeinfo")["data"]
    assert before["reloadConfigSuccess"] is False

    file.write_text(GOOD_RULES.replace("Good", "Better"))
    assert reload(stack)[0] == 200
    assert rules() == {"Better"}
    after = stack.get("/api/v1/status/runtimeinfo")["data"]
    assert after["reloadConfigSuccess"] is True
    assert after["lastConfigTime"] > before["lastConfigTime"]


@pytest.mark.parametrize(
    ("words", "want"),
    [
        ("up --config DIR/folder", "is a directory"),
        ("up --config DIR/nowhere.yml", "nowhere.yml: cannot be read: No such file"),
        ("check config DIR/binary.yml", "binary.yml: is not UTF-8"),
        ("up --data-dir DIR/file/below", "the data folder DIR/file/below cannot be made"),
        ("up --listen example.org:9800", "'example.org' is not loopback"),
        ("up --listen 127.0.0.1", "'127.0.0.1' is no address; it looks like 127.0.0.1:9800"),
        ("up --listen PORT --data-dir DIR/other", "PORT is in use by another program; stop it or choose another port"),
        ("up --listen [::1]:0 --data-dir USED", "USED/tsdb is in use by another Taskscope"),
        ("up --listen [::1]:0 --data-dir DIR/newer", "DIR/newer/tsdb/format.json: format 9 is unknown here"),
        ("tasks --server nonsense", "it looks like http://127.0.0.1:9800"),
        ("upp", "there is no command 'upp'; did you mean up?"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_answered_in_a_sentence(
    words: str, want: str, stack: Stack, tmp_path: Path
) -> None:
    """It says what is wrong, and ends."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\0")
    (tmp_path / "newer" / "tsdb").mkdir(parents=True)
    (tmp_path / "newer" / "tsdb" / "format.json").write_text('{"format": 9}')

    def meant(text: str) -> str:
        places = {"DIR": tmp_path, "PORT": f"127.0.0.1:{stack.port}", "USED": stack.data_dir}
        for name, place in places.items():
            text = text.replace(name, str(place))
        return text

    answer = cli(*meant(words).split(), timeout_seconds=30)

    assert answer.returncode in (1, 2)
    assert meant(want) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_markup_of_tasks_is_text(stack: Stack) -> None:
    """Names, labels and lines that hold markup come as JSON that no browser takes for a page."""
    command = ("sh", "-c", f"echo '</script>{MARKUP}'; printf 'a\\033]0;title\\007b\\n'; sleep 60")
    with running_task(stack.data_dir, MARKUP, *command):
        task = eventually(
            "the task", lambda: [t for t in stack.get("/api/tasks") if t["identity"]["task_name"] == MARKUP], 20
        )[0]  # fmt: skip
        eventually("its lines", lambda: len(stack.logs("onerror")) == 1, 20)
        quoted = urllib.parse.quote(MARKUP)

        for path in (
            "/", "/api/tasks", f"/tasks/{task['id']}", f"/logs?query={quoted}", f"/query?expr={quoted}",
            f"/{quoted}", f"/api/v1/query?query={quoted}", "/api/logs/search?query=onerror",
        ):  # fmt: skip
            try:
                answer = urllib.request.urlopen(stack.url + path, timeout=10)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                is_page = answer.headers["Content-Type"].startswith("text/html")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
                assert not (is_page and MARKUP.encode() in answer.read()), path
        for words in (["tasks"], ["logs", "task_name:*"]):
            shown = cli(*words, "--server", stack.url)
            assert MARKUP in shown.stdout
            assert "\x1b" not in shown.stdout


@pytest.mark.parametrize("signs", [[signal.SIGTERM], [signal.SIGINT] * 200], ids=["TERM", "INT again and again"])  # fmt: skip
def test_it_ends_cleanly(signs: list[signal.Signals], tmp_path: Path) -> None:
    """Exit code 0 within seconds, no traceback, a running task in the middle of it all."""
    stack = Stack(tmp_path, "--config", str(configure(tmp_path / "taskscope.yml")))
    stack.start()
    with running_task(tmp_path, "talks", "sh", "-c", "while :; do echo on; sleep 0.05; done"):
        eventually("lines", lambda: stack.logs("task_name:talks"), 20)
        begun = time.monotonic()
        assert stack.process is not None
        for sign in signs:
            stack.process.send_signal(sign)
            time.sleep(0.01)
        code = stack.process.wait(15)

    assert code == 0
    assert time.monotonic() - begun < 8
    assert "Traceback" not in stack.output()


@pytest.mark.root
def test_without_rights_process_tasks_are_observed(tmp_path: Path) -> None:
    """Docker's socket refuses: one sentence in start-up, status and doctor; tasks without Docker are there."""
    import tempfile

    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    version = [*nobody, sys.executable, "-m", "taskscope", "--version"]
    if subprocess.run(version, cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("an unprivileged user may not enter this interpreter's folder")
    with (
        tempfile.TemporaryDirectory() as name,  # pytest's own folders are closed to other users
        socket.socket(socket.AF_UNIX) as listener,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        (foreign := folder / "foreign").mkdir(mode=0o755)
        (data_dir := folder / "data").mkdir()
        os.chown(data_dir, 65534, 65534)
        path = folder / "docker.sock"
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        config = configure(folder / "c.yml", discovery={"docker": {"socket": f"unix://{path}"}})
        config.chmod(0o644)
        sentence = (
            f"no rights on Docker's socket {path}; run as root or as a member of the group docker"
        )

        with Stack(data_dir, "--config", str(config), prefix=nobody) as stack:
            with running_task(data_dir, "plain", "sh", "-c", "while :; do echo on; sleep 0.2; done", prefix=nobody):  # fmt: skip
                eventually("its lines", lambda: stack.logs("task_name:plain"), 30)
            sources = {s["name"]: s for s in stack.get("/api/status")["sources"]}
            doctor = subprocess.run(
                [*version[:-1], "doctor", "--config", str(config)],
                cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            second = subprocess.run(
                [*version[:-1], "up", "--data-dir", str(foreign), "--listen", "127.0.0.1:0"],
                cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        greeting = stack.output()

    assert not sources["docker"]["ok"]
    assert sources["docker"]["message"].startswith(sentence)
    assert f"not found: {sentence}" in greeting
    assert sentence in doctor.stdout
    assert "Traceback" not in greeting + doctor.stderr
    assert second.returncode == 2
    assert second.stderr == f"taskscope: the data folder {foreign} cannot be written by this user; choose another with --data-dir\n"  # fmt: skip
