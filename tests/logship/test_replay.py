"""Dead letters: written durably, listed, sent again; nothing of them is lost whatever happens in between."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logship import deadletter, ecs
from logship.deadletter import DeadLetters, letters
from logship.replay import batch_of, replay, sinks_with_letters, summary
from model.errors import DeliveryError, OperatorError
from model.log import Delivery, LogBatch
from tests.logship.harness import RealClock, parse
from tests.logship.recording import RecordingSink


class Choosy(RecordingSink):
    """Refuses what has a word in it, for good or for now."""

    def __init__(self, never: str = "", later: str = "") -> None:
        super().__init__("x")
        self.never, self.later = never, later

    def write(self, batches: Any, timeout_seconds: float) -> list[Delivery]:
        deliveries = list(super().write(batches, timeout_seconds))
        for n, batch in enumerate(batches):
            for word, code in ((self.never, 400), (self.later, 429)):
                if word and word in batch.text(0):
                    deliveries[n] = Delivery(np.array([code], dtype=np.int16), {0: f"no {word}"})
        return deliveries


def bury(directory: Path, *texts: str, reason: str = "because") -> DeadLetters:
    """Put a letter for each text."""
    dead = DeadLetters(directory, "x")
    for batch in parse("".join(f"{text}\n" for text in texts)).batches:
        dead.put(batch, dict.fromkeys(range(len(batch)), reason), attempts=2, at_ns=1_000)
    return dead


def entries(dead: DeadLetters) -> list[dict[str, Any]]:
    """Return all letters there are."""
    return [entry for path in dead.files() for _, entry in letters(path) if entry is not None]


def test_letter_has_line_reason_attempts_and_time(tmp_path: Path) -> None:
    """Everything that is needed to see what happened, and to send it again (L21)."""
    dead = bury(tmp_path, '{"msg":"hello","user":7}', reason="mapper says no")

    (letter,) = entries(dead)

    assert letter["line"] == 'hello {"user":7}'
    assert (letter["reason"], letter["attempts"], letter["at_ns"], letter["sink"]) == ("mapper says no", 2, 1_000, "x")  # fmt: skip
    assert letter["id"] == ecs.document_id(letter["source_id"], 0)
    assert letter["document"]["message"] == "hello"


LINES = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1, max_size=40),
        st.dictionaries(st.sampled_from(["msg", "level", "a", "user", "trace_id"]), st.one_of(st.integers(-5, 5), st.text(max_size=8), st.sampled_from(["error", "ab" * 16]))).map(json.dumps),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@given(lines=LINES, run=st.integers(0, 3))
def test_letter_gives_back_the_same_record(lines: list[str], run: int) -> None:
    """What is sent again is byte for byte what was refused, under the same id."""
    from msgspec.structs import replace

    for batch in parse("\n".join(lines) + "\n").batches:
        whole = replace(batch, run=run, tags={"log.file.path": "/x/y"})
        for row, document in enumerate(ecs.documents(whole)):
            letter = {"dataset": whole.dataset, "source_id": whole.source_id, "document": orjson.loads(document)}  # fmt: skip
            again = batch_of(letter)
            assert again is not None
            assert orjson.loads(ecs.documents(again)[0]) == letter["document"]
            (first,) = ecs.records(ecs.bulk(whole.take(np.array([row])), ""))
            assert ecs.bulk(again, "").split(b"\n")[0] == first.split(b"\n")[0]


def test_replay_sends_what_is_taken_and_keeps_what_is_not(tmp_path: Path) -> None:
    """Each ends in exactly one state; what is refused again has the reason and the attempts of now."""
    dead = bury(tmp_path, "good", "bad one", "there")
    sink = Choosy(never="bad")
    (batch,) = parse("good\nbad one\nthere\n").batches
    sink.write([batch.take(np.array([2]))], 1)
    told: list[int] = []

    result = replay(dead, sink, RealClock(), 1, told.append)

    assert (result.delivered, result.there, result.refused, result.left) == (1, 1, 1, 0)
    (letter,) = entries(dead)
    assert (letter["line"], letter["reason"], letter["attempts"]) == ("bad one", "no bad", 3)
    assert letter["at_ns"] > 1_000
    assert sum(told) == 3
    assert [path.name for path in dead.files()] == ["dead-letters-x.jsonl"]


def test_sink_that_is_away_loses_no_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are as before, and the next replay sends them."""
    monkeypatch.setattr("logship.replay.PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr("logship.replay.AT_ONCE", 2)
    dead = bury(tmp_path, "a", "b", "c")
    before = entries(dead)
    sink = Choosy()
    sink.failing = DeliveryError("it is away", retryable=True)

    away = replay(dead, sink, RealClock(), 1)
    sink.failing = None
    back = replay(dead, sink, RealClock(), 1)

    assert (away.left, away.problem, away.delivered) == (3, "it is away", 0)
    assert (back.delivered, back.left, back.problem) == (3, 0, "")
    assert sink.texts == ["a", "b", "c"]
    assert before
    assert entries(dead) == []


def test_records_that_are_to_come_later_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 is no refusal."""
    monkeypatch.setattr("logship.replay.PATIENCE_SECONDS", 0.3)
    dead = bury(tmp_path, "a", "busy b")

    result = replay(dead, Choosy(later="busy"), RealClock(), 1)

    assert (result.delivered, result.left) == (1, 1)
    assert [letter["line"] for letter in entries(dead)] == ["busy b"]
    assert entries(dead)[0]["attempts"] == 2


def test_replay_that_died_is_gone_on_with(tmp_path: Path) -> None:
    """Files that were set aside are found by the next one; letters of meanwhile too."""
    dead = bury(tmp_path, "a")
    dead.take()
    bury(tmp_path, "b")
    assert len(dead.files()) == 2
    sink = Choosy()

    assert summary(tmp_path, ["x"]).kinds[0].letters == 2
    result = replay(dead, sink, RealClock(), 1)

    assert (result.delivered, result.there) == (
        1,
        1,
    )  # both stood at the same place of their source
    assert dead.files() == []


def test_two_replays_at_once_are_refused(tmp_path: Path) -> None:
    """The second one says so."""
    dead = bury(tmp_path, "a")
    with dead.replaying(), pytest.raises(OperatorError, match="being replayed already"):
        replay(DeadLetters(tmp_path, "x"), Choosy(), RealClock(), 1)

    assert replay(dead, Choosy(), RealClock(), 1).delivered == 1


def test_torn_line_is_kept_and_costs_only_itself(tmp_path: Path) -> None:
    """A crash in mid-write; what is put afterwards begins a line of its own."""
    dead = bury(tmp_path, "a")
    with dead.path.open("ab") as file:
        file.write(b'{"at_ns":1,"sink')
    bury(tmp_path, "b")

    sink = Choosy()
    result = replay(dead, sink, RealClock(), 1)

    assert (result.unreadable, result.delivered + result.there) == (1, 2)
    assert dead.path.read_bytes() == b'{"at_ns":1,"sink\n'


def test_letters_that_had_to_go_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """The files do not grow for ever; what is dropped to make room is told."""
    monkeypatch.setattr(deadletter, "FILE_BYTES_MAX", 1)
    dead = DeadLetters(tmp_path, "x")
    (batch,) = parse("a\nb\n").batches

    lost = [dead.put(batch, {}, attempts=1, at_ns=n) for n in range(6)]

    assert lost == [0, 0, 0, 0, 2, 2]
    assert [letter["at_ns"] for letter in entries(dead)] == [2, 2, 3, 3, 4, 4, 5, 5]


def test_list_groups_by_reason(tmp_path: Path) -> None:
    """What differs from record to record is left out."""
    for n in range(3):
        bury(tmp_path, f"line {n}", reason=f"document_parsing_exception: failed to parse field [a] of type [long] in document with id 'k-{n}'. Preview of field's value: '{n}'; and repaired: x")  # fmt: skip
    bury(tmp_path, "other", reason="too large")

    found = summary(tmp_path, sinks_with_letters(tmp_path))

    assert [(kind.reason, kind.letters) for kind in found.kinds] == [
        ("document_parsing_exception: failed to parse field [a] of type [long]", 3),
        ("too large", 1),
    ]
    assert found.kinds[0].example == "line 0"


def test_batches_hold_one_record_each() -> None:
    """So that each letter's status is its own."""
    (batch,) = parse("a\nb\n").batches
    letter = {"dataset": "task", "source_id": "s", "document": orjson.loads(ecs.documents(batch)[1])}  # fmt: skip

    again = batch_of(letter)

    assert isinstance(again, LogBatch)
    assert len(again) == 1
    assert again.text(0) == "b"


@pytest.mark.parametrize("document", [{}, {"@timestamp": "x"}, {"@timestamp": 1, "message": 2}])
def test_letter_of_somebody_else_is_no_record(document: dict[str, Any]) -> None:
    """It is kept, not sent."""
    assert batch_of({"dataset": "task", "source_id": "s", "document": document}) is None
