"""Sends dead letters once more: after a mapping was put right, or to another cluster.

Their files are set aside first, so that new letters go to a new file; what is refused again, or
cannot be sent now, is put back. Ids are those of the first time: whatever dies in between, no
record is stored twice.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from msgspec import Struct, field

from logship import ecs
from logship.deadletter import DeadLetters, letters
from logship.parse.timestamps import NO_TIME, scalar
from logship.sink.base import ConcurrentSink, Sink
from model.clock import Clock
from model.errors import DeliveryError
from model.identity import ECS_FIELDS
from model.log import LEVEL_NAMES, LogBatch, Spans
from model.task import TaskIdentity

AT_ONCE: Final = 500
PATIENCE_SECONDS: Final = 20.0
_OURS: Final = {
    "@timestamp", "event.dataset", "event.created", "log.offset", "log.level", "log.flags", "log.original_bytes",
    "message", "fields", "trace.id", "taskscope.stream", "taskscope.task.run", "ecs.version", *ECS_FIELDS.values(),
}  # fmt: skip


class Result(Struct):
    """What became of the letters.

    Attributes:
        delivered: Stored now.
        there: Stored already.
        refused: Refused once more; they are dead letters again, with the reason of now.
        left: Not tried, or to be tried later; they are dead letters as before.
        unreadable: Lines that are no letters (cut by a crash); they are kept.
        problem: Why some are left, "" if none are.
    """

    delivered: int = 0
    there: int = 0
    refused: int = 0
    left: int = 0
    unreadable: int = 0
    problem: str = ""


class Kind(Struct):
    """Letters of one sink and reason, for a list: how many, and when the first and the last came."""

    sink: str
    reason: str
    letters: int = 0
    first_ns: int = 2**63 - 1
    last_ns: int = 0
    example: str = ""


class Summary(Struct):
    """All letters of a directory."""

    kinds: list[Kind] = field(default_factory=list)
    unreadable: int = 0


def sinks_with_letters(directory: Path) -> list[str]:
    """Return the names of the sinks that have refused records."""
    names = set()
    for path in directory.glob("dead-letters-*.jsonl*"):
        names.add(path.name.removeprefix("dead-letters-").partition(".jsonl")[0])
    return sorted(names)


def summary(directory: Path, sinks: list[str]) -> Summary:
    """Return what letters there are, the most frequent kind first."""
    kinds: dict[tuple[str, str], Kind] = {}
    whole = Summary()
    for sink in sinks:
        for path in DeadLetters(directory, sink).files():
            for _, letter in letters(path):
                if letter is None:
                    whole.unreadable += 1
                    continue
                reason = _general(str(letter.get("reason", "")))
                kind = kinds.setdefault((sink, reason), Kind(sink, reason))
                kind.letters += 1
                at = int(letter.get("at_ns", 0))
                kind.first_ns, kind.last_ns = min(kind.first_ns, at), max(kind.last_ns, at)
                kind.example = kind.example or str(letter.get("line", ""))
    whole.kinds = sorted(kinds.values(), key=lambda kind: -kind.letters)
    return whole


def _general(reason: str) -> str:
    """Return a reason without what differs from record to record."""
    text = reason.partition(". Preview of")[0].partition("; and repaired")[0]
    head, found, tail = text.partition(" in document with id '")
    return head + tail.partition("'")[2] if found else text


def replay(
    dead: DeadLetters, sink: Sink, clock: Clock, timeout_seconds: float,
    progress: Callable[[int], None] = lambda _: None,
) -> Result:  # fmt: skip
    """Send all letters of a sink.

    Args:
        dead: Where they are.
        sink: Where they go.
        clock: The time, for letters that are refused again.
        timeout_seconds: For one request.
        progress: Told how many more letters are done with.

    Raises:
        OperatorError: If another replay is at it.
        OSError: If a file cannot be read or written; nothing is lost, the next replay goes on.
    """
    result = Result()
    with dead.replaying() as paths:
        for path in paths:
            for group in _groups(path):
                kept = _send(group, sink, clock, timeout_seconds, result)
                dead.append(b"".join(kept))
                progress(len(group))
            path.unlink()
    return result


def _groups(path: Path) -> Iterator[list[tuple[bytes, dict[str, Any] | None]]]:
    group: list[tuple[bytes, dict[str, Any] | None]] = []
    for line, letter in letters(path):
        group.append((line if line.endswith(b"\n") else line + b"\n", letter))
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _send(group: list[tuple[bytes, dict[str, Any] | None]], sink: Sink, clock: Clock, timeout_seconds: float, result: Result) -> list[bytes]:  # fmt: skip
    """Send a group and return the lines to be put back."""
    kept: list[bytes] = []
    pending: list[tuple[bytes, dict[str, Any], LogBatch]] = []
    for line, letter in group:
        batch = batch_of(letter) if letter is not None else None
        if letter is None or batch is None:
            result.unreadable += 1
            kept.append(line)
        elif result.problem:
            result.left += 1
            kept.append(line)
        else:
            pending.append((line, letter, batch))
    end = clock.monotonic() + PATIENCE_SECONDS
    pause = 0.2
    while pending:
        if isinstance(sink, ConcurrentSink):  # they may have been stored, in another index
            sink.resumed({batch.source_id for _, _, batch in pending})
        later = []
        try:
            deliveries = sink.write([batch for _, _, batch in pending], timeout_seconds)
        except DeliveryError as error:
            later, result.problem = pending, str(error)
            pause = error.retry_after_seconds or pause
        else:
            result.problem = ""
            for (line, letter, batch), delivery in zip(pending, deliveries, strict=True):
                status, reason = int(delivery.status[0]), delivery.reasons.get(0, "")
                if status in (201, 409):
                    result.delivered += status == 201
                    result.there += status == 409
                elif status == 400:
                    result.refused += 1
                    again = {"at_ns": clock.now_ns(), "reason": reason, "attempts": int(letter.get("attempts", 0)) + 1}  # fmt: skip
                    kept.append(orjson.dumps(letter | again, option=orjson.OPT_APPEND_NEWLINE))
                else:
                    later.append((line, letter, batch))
                    result.problem = f"{sink.name} wants records later: {reason or status}"
        pending = later
        if pending and clock.monotonic() + pause > end:
            result.left += len(pending)
            kept += [line for line, _, _ in pending]
            break
        if pending:
            time.sleep(pause)
            pause *= 2
    return kept


def batch_of(letter: Mapping[str, Any]) -> LogBatch | None:
    """Return a letter's record as a batch of one; None if it holds none of ours."""
    document = letter["document"]
    try:
        return _batch(letter, document)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _batch(letter: Mapping[str, Any], document: Mapping[str, Any]) -> LogBatch:
    ts_ns = scalar(document["@timestamp"])
    if ts_ns == NO_TIME:
        raise ValueError("no time")
    message = str(document["message"]).encode()
    own = orjson.dumps(document["fields"]) if "fields" in document else b""
    names = set(document.get("log.flags", ()))
    flags = sum(bit for bit, name in ecs.FLAG_NAMES.items() if name in names)
    pairs = {name: str(document.get(ecs_name, "")) for name, ecs_name in ECS_FIELDS.items()}
    trace = document.get("trace.id")
    return LogBatch(
        identity=TaskIdentity(**pairs),  # type: ignore[arg-type]  # ids are texts of their own type
        source_id=str(letter["source_id"]),
        stream=str(document["taskscope.stream"]),
        run=int(document.get("taskscope.task.run", 0)),
        dataset=str(letter["dataset"]),
        buf=message + b"\0" + own,
        message=_span(0, len(message)),
        fields=_span(len(message) + 1, len(message) + 1 + len(own)),
        ts_ns=np.array([ts_ns], dtype=np.int64),
        read_ns=scalar(document["event.created"]),
        levels=np.array([LEVEL_NAMES.index(document.get("log.level", ""))], dtype=np.uint8),
        offsets=np.array([int(document["log.offset"])], dtype=np.int64),
        flags=np.array([flags], dtype=np.uint8),
        end_offset=int(document["log.offset"]) + 1,
        original_bytes=np.array([int(document.get("log.original_bytes", 0))], dtype=np.int64),
        trace_ids={0: str(trace)} if trace else {},
        tags={name: value for name, value in document.items() if name not in _OURS},
    )


def _span(start: int, end: int) -> Spans:
    return Spans(np.array([start], dtype=np.int64), np.array([end], dtype=np.int64))
