"""``taskscope logs replay`` from outside."""

import json
from pathlib import Path

import pytest

from logship.deadletter import DeadLetters
from tests.e2e.stack import cli
from tests.logship.harness import parse
from tests.logship.server import Answer, Server

ELASTIC = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}


def bury(data_dir: Path, sink: str = "elasticsearch") -> DeadLetters:
    """Put two letters where a Taskscope with this data folder would."""
    (data_dir / "logship").mkdir(parents=True)
    dead = DeadLetters(data_dir / "logship", sink)
    for batch in parse("fine\nbad\n").batches:
        dead.put(batch, dict.fromkeys(range(2), "mapper says no"), attempts=1, at_ns=1)
    return dead


def configure(folder: Path, url: str) -> str:
    """Write a configuration with a sink."""
    path = folder / "taskscope.yml"
    path.write_text(f"logship: {{sinks: [{{type: elasticsearch, endpoints: ['{url}']}}]}}\n")
    return str(path)


def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    """Take everything but the line "bad"."""
    if "_bulk" not in path:
        return 200, b"{}", ELASTIC
    documents = [json.loads(line) for line in body.splitlines()[1::2]]
    items = [{"create": {"status": 400 if "bad" in d["message"] else 201, "error": {"type": "x", "reason": "y"}}} for d in documents]  # fmt: skip
    return 200, json.dumps({"errors": True, "items": items}).encode(), ELASTIC


def test_list_then_replay(tmp_path: Path) -> None:
    """What there is, what became of it, and the exit code."""
    dead = bury(tmp_path / "data")
    with Server(answer) as server:
        options = ("--config", configure(tmp_path, server.url))
        listed = cli("logs", "replay", "--list", *options, data_dir=tmp_path / "data")
        first = cli("logs", "replay", "--json", *options, data_dir=tmp_path / "data")
        second = cli("logs", "replay", *options, data_dir=tmp_path / "data")

    assert (listed.returncode, first.returncode, second.returncode) == (0, 1, 1)
    assert listed.stdout.split("\t")[:2] == ["elasticsearch", "2"]
    assert "mapper says no" in listed.stdout
    told = json.loads(first.stdout)["elasticsearch"]
    assert (told["delivered"], told["refused"], told["left"]) == (1, 1, 0)
    assert "0 delivered, 0 were there already, 1 refused again, 0 left" in second.stdout
    (letter,) = map(json.loads, dead.path.read_text().splitlines())
    assert letter["attempts"] == 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--json"], 0, "{}"),
        ([], 0, "no dead letters"),
        (["--list"], 0, "no dead letters"),
        (["--nonsense"], 2, "No such option"),
    ],
)
def test_nothing_to_do(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    """Is no failure."""
    done = cli("logs", "replay", *words, data_dir=tmp_path)

    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_letters_of_a_sink_that_is_not_configured(tmp_path: Path) -> None:
    """Nothing is touched, and the sentence says what would be right."""
    dead = bury(tmp_path, "server")

    done = cli("logs", "replay", data_dir=tmp_path)

    assert done.returncode == 2
    assert "server refused records, and the configuration has no such sink" in done.stderr
    assert len(dead.path.read_text().splitlines()) == 2
