"""``taskscope logs`` against a served console with made-up tasks."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from model.errors import OperatorError
from model.task import TaskState
from taskscope.cli import log_histogram
from taskscope.cli.log_completion import complete
from taskscope.cli.log_histogram import ROWS, stamps_of, step_for
from taskscope.cli.log_lines import LinePrinter
from taskscope.cli.logs import logs
from tests.e2e.stack import ROOT
from tests.web.demo_host import Demo
from tests.web.demo_parts import make_demo
from web.app import create_app
from web.server import WebServer


@pytest.fixture(scope="module")
def demo() -> Demo:
    """Return the made-up host."""
    return make_demo()


@pytest.fixture(scope="module")
def server(demo: Demo) -> Iterator[WebServer]:
    """Serve it."""
    registry = CollectorRegistry()
    served = WebServer(create_app(demo.parts(registry), registry), "127.0.0.1", 0)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def run(server: WebServer) -> Any:
    """Return a function that runs the command."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(logs, [*words, "--server", server.url])

    return run


def documents(answer: Result) -> list[dict[str, Any]]:
    """Return what ``--json`` printed."""
    return [json.loads(line) for line in answer.stdout.splitlines()]


def names(answer: Result) -> set[str]:
    """Return whose records were printed."""
    return {d["taskscope.task.name"] for d in documents(answer)}


def test_tasks_are_named_by_name_id_and_app(run: Any, demo: Demo) -> None:
    """Also those that have ended, also several, and with a query behind them."""
    ended = demo.tasks["import-7"].identity.task_id

    assert names(run("--json", "shop-1")) == {"shop-1"}
    assert names(run("--json", "import-7")) == {"import-7"}
    assert names(run("--json", ended)) == {"import-7"}
    assert names(run("--json", demo.tasks["shop-2"].identity.task_id[:8])) == {"shop-2"}
    assert names(run("--json", "shop")) == {"shop-1", "shop-2"}
    assert names(run("--json", "shop-1", "billing", "leaky")) == {"shop-1", "billing", "leaky"}
    assert names(run("--json", "shop-1", "billing", "level:warn")) == {"billing"}


def test_a_task_that_only_its_records_remember_is_found(run: Any, demo: Demo) -> None:
    """Its name and its id are looked for among the records (L13)."""
    gone = demo.add("old", "old-job", state=TaskState.FINISHED)
    demo.log("old-job", demo.now_ms, "the last words of it", "error")
    del demo.tasks["old-job"]
    demo.source.set(*demo.tasks.values())

    for word in ("old-job", "old", gone.identity.task_id[:10]):
        answer = run("--json", word)
        assert [d["message"] for d in documents(answer)] == ["the last words of it"], word


def test_tasks_are_interleaved_by_time(run: Any) -> None:
    """Oldest first, whoever spoke; -n keeps the newest, --since all."""
    lines = run("-n", "40", "shop-1", "billing", "report-job").stdout.splitlines()
    stamps = [line.split("\t")[0] for line in lines if "\t" in line]

    assert len(stamps) == 40
    assert stamps == sorted(stamps)
    assert {line.split("\t")[1] for line in lines if "\t" in line} > {"shop-1", "billing"}
    assert len(run("--since", "50m", "shop").stdout.splitlines()) > 200
    assert run("--since", "30m", "--until", "29m30s", "shop").stdout.count("\n") <= 3


def test_context_is_of_the_same_task_and_groups_meet(run: Any) -> None:
    """As grep has it; a record is never printed twice."""
    answer = run("--json", "-n", "1", "-C", "3", "billing", "level:error")
    shown = documents(answer)
    found = [d for d in shown if not d.get("context")]

    assert len(shown) in range(4, 8)
    assert {d["taskscope.task.name"] for d in shown} == {"billing"}
    assert [d["log.level"] for d in found] == ["error"]
    everything = documents(run("--json", "-n", "30", "-C", "10", "billing", "level:warn"))
    assert len({d["id"] for d in everything}) == len(everything)
    assert "--" in run("-n", "2", "-C", "1", "billing", "level:error").stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing-like-this-at-all-xyz"], 1, "no records match"),
        (["shpo-1"], 1, "did you mean shop-1?"),
        (["--json", "qqqq-nothing"], 1, ""),
        (["shop-1", "levels:error"], 2, "did you mean level?"),
        (["shop-1", "(level:error"], 2, "never closed"),
        (["--since", "soon"], 2, "it looks like 15m"),
        (["--since", "5m", "--until", "10m"], 2, "--until is before --since"),
        (["-f", "--until", "5m"], 2, "leave --until out"),
        (["-f", "-C", "5"], 2, "leave --follow out"),
        (["--histogram", "-f"], 2, "leave --follow out"),
        (["-n", "0"], 1, "no records match"),
    ],
)
def test_exit_codes_and_sentences(run: Any, words: list[str], code: int, said: str) -> None:
    """0 found, 1 none, 2 wrong; ``OperatorError`` is what ``main`` turns into 2."""
    answer = run(*words)
    ended = 2 if isinstance(answer.exception, OperatorError) else answer.exit_code

    assert ended == code
    assert said in answer.output + str(answer.exception)


def test_what_is_wrong_with_a_query_is_marked_below_it(run: Any) -> None:
    """Under the user's own words, not those that were added for the tasks."""
    answer = run("shop-1", "timeout", "levels:error")

    assert str(answer.exception).splitlines()[1:] == [
        "    timeout levels:error",
        "            ^^^^^^^",
    ]


def test_ambiguous_ids_are_listed(run: Any, demo: Demo) -> None:
    """Nobody guesses which one was meant."""
    for name in ("twins-a", "twins-b"):
        demo.add("pair", name, framework="process", state=TaskState.RUNNING)

    assert re.search(
        r"beginning of 2 task ids: twins-a-\w* \(twins-a\), twins-b-\w* \(twins-b\)",
        str(run("twins-").exception),
    )


def test_histogram_counts_by_level(run: Any) -> None:
    """Tab-separated in a pipe; the sum is the number of records."""
    lines = [line.split("\t") for line in run("--histogram", "--since", "40m", "billing").stdout.splitlines()]  # fmt: skip
    records = run("--since", "40m", "billing").stdout.splitlines()
    found = json.loads(run("--histogram", "--since", "40m", "--json", "billing").stdout)

    assert lines[0] == ["time", "total", "error", "warn"]
    assert 0 <= sum(int(line[1]) for line in lines[1:]) - len(records) <= 4  # whole steps
    assert found["step_ms"] == 120_000
    assert sum(found["counts"]["error"]) == sum(int(line[2]) for line in lines[1:])


def test_histogram_draws_bars_in_80_columns(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each level there is has a sign; without colours it can be read too."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    end_ms = time.time_ns() // 1_000_000
    count = log_histogram.show(server.url, "app:billing", end_ms - 3_600_000, end_ms, as_json=False)
    rows = [click.unstyle(line) for line in capsys.readouterr().out.splitlines()]
    numbers = [int(row.split()[1]) for row in rows[:-1]]

    assert all(len(row) <= 80 for row in rows)
    assert sum(numbers) == count > 0
    assert "W" * 20 in rows[numbers.index(max(numbers))]
    assert re.fullmatch(r"E error \d+  W warn \d+", rows[-1])


def test_steps_are_usual_ones_and_rows_few() -> None:
    """A minute has steps of seconds, a year whole days."""
    assert step_for(60_000) == 5000
    assert step_for(3_600_000) == 300_000
    assert step_for(24 * 3_600_000) == 3_600_000
    assert step_for(365 * 86_400_000) % 86_400_000 == 0
    assert 365 * 86_400_000 / step_for(365 * 86_400_000) <= ROWS


def test_stamps_are_as_short_as_they_can_be() -> None:
    """Seconds only where needed, the day only where there are several."""
    hour = 3_600_000
    assert {len(s) for s in stamps_of([hour * 500_000 + i * hour for i in range(2)])} <= {5, 11}
    assert all(len(s) == 8 for s in stamps_of([hour * 500_001 + i * 5000 for i in range(3)]))


def record(
    number: int, message: str, level: str = "info", task: str = "shop-1", ident: str = ""
) -> dict[str, Any]:
    """Return a record as the API gives it."""
    document = {
        "message": message,
        "log.level": level,
        "taskscope.task.name": task,
        "taskscope.task.id": ident or f"id-of-{task}",
    }
    ts_ms = int(time.time() * 1000)
    return {"id": f"r{number}", "ts_ms": ts_ms, "ts_ns": str(ts_ms * 10**6), "document": document}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that prints records on a terminal of a width."""

    def printed(records: list[dict[str, Any]], columns: int = 80, **options: Any) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        LinePrinter(as_json=False, **options).print(records)
        return capsys.readouterr().out.splitlines()

    return printed


def test_each_task_has_a_colour_on_a_terminal(terminal: Any) -> None:
    """The same one again and again; another task another one."""
    lines = terminal([
        record(1, "one"), record(2, "two", task="billing"), record(3, "three"),
    ])  # fmt: skip
    colours = [re.search(r"\x1b\[(\d+)m(shop-1|billing)", line) for line in lines]
    found = [(m[2], m[1]) for m in colours if m]

    assert found[0] == found[2]
    assert found[0][1] != found[1][1]


def test_a_pipe_has_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a record, tab-separated, with the whole time."""
    LinePrinter(as_json=False).print([record(1, "text\nsecond line", "error")])
    out = capsys.readouterr().out

    assert "\x1b" not in out
    first, second = out.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+\d\d:\d\d\tshop-1\terror\ttext", first)
    assert second == "    second line"


def test_lines_fit_80_columns_and_hang_below_the_message(terminal: Any) -> None:
    """Nothing is lost by wrapping."""
    words = [f"word{i}" for i in range(40)]
    lines = [click.unstyle(line) for line in terminal([record(1, " ".join(words))])]
    begin = lines[0].index("word0")

    assert len(lines) > 3
    assert all(len(line) <= 80 for line in lines)
    assert all(line[:begin].isspace() for line in lines[1:])
    assert " ".join(lines).split()[3:] == words


def test_one_task_needs_no_column(terminal: Any) -> None:
    """Its name is known: it was asked for."""
    assert "shop-1" not in terminal([record(1, "text")], one_task=True)[0]


def test_tasks_of_one_name_are_told_apart_by_id(terminal: Any) -> None:
    """A task and the one before it."""
    lines = terminal([record(1, "a", ident="aaaaaaaaaa"), record(2, "b", ident="bbbbbbbbbb")])

    assert "shop-1 aaaaaa" in lines[0]
    assert "shop-1 bbbbbb" in lines[1]


def test_control_characters_do_nothing_to_the_terminal(terminal: Any) -> None:
    """A task cannot write into somebody's terminal."""
    assert r"\x1b]0;owned\x07" in terminal([record(1, "\x1b]0;owned\x07")])[0]


@pytest.mark.parametrize(
    ("before", "incomplete", "want"),
    [
        ([], "shop", ["shop", "shop-1", "shop-2"]),
        (["shop-1"], "lev", ["level:"]),
        ([], "level:f", ["level:fatal"]),
        ([], "stream:", ["stream:stdout", "stream:stderr"]),
        (["level", ":"], "wa", ["warn"]),  # as bash splits it
        (["task_name"], ":", ["billing"]),
        (["task_name", ":"], "bill", ["billing"]),
        ([], "fields.x:", []),
    ],
)
def test_completion_offers_tasks_fields_and_values(
    server: WebServer, monkeypatch: pytest.MonkeyPatch,
    before: list[str], incomplete: str, want: list[str],
) -> None:  # fmt: skip
    """From the running server."""
    monkeypatch.setenv("TASKSCOPE_SERVER", server.url)
    context = click.Context(logs)
    context.params["words"] = tuple(before)
    found = [item.value for item in complete(context, logs.params[0], incomplete)]

    assert [value for value in want if value not in found] == []
    if want and incomplete != ":":
        assert all(value.startswith(("shop", *want)) for value in found)


def test_completion_without_a_server_offers_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says nothing of what went wrong."""
    monkeypatch.setenv("TASKSCOPE_SERVER", "http://127.0.0.1:9")
    found = [i.value for i in complete(click.Context(logs), logs.params[0], "")]

    assert "level:" in found
    assert all(value.endswith(":") for value in found)


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_heeded_on_a_terminal(
    server: WebServer, *, no_color: str, coloured: bool
) -> None:
    """As https://no-color.org has it: any value but the empty one."""
    theirs, ours = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "taskscope", "logs", "-n", "5", "billing", "--server", server.url],
        cwd=ROOT, stdout=ours, stderr=subprocess.PIPE, check=False,
        env=os.environ | {"NO_COLOR": no_color, "COLUMNS": "80", "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(ours)
    shown = os.read(theirs, 65_536).decode()
    os.close(theirs)

    assert done.returncode == 0, done.stderr
    assert "pool: waiting" in shown
    assert ("\x1b[" in shown) is coloured
