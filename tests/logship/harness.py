"""What the tests of log shipping share: a real clock, writers of logs, waiting for an outcome."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from logship.parse.batch import Origin
from logship.parse.parser import Parsed, Parser
from logship.redact import Redactor
from logship.shipper import Settings, Shipper
from logship.sink.base import Sink
from model.log import Flag
from model.task import TaskSource
from tests.fakes.tasks import SHOP

NOW_NS = 1_795_341_600_000_000_000  # 2026-11-22T10:00:00Z
ORIGIN = Origin(SHOP, "source", "stdout", "task")
REDACTOR = Redactor()
QUICK = Settings(poll_interval_seconds=0.02, checkpoint_interval_seconds=0.1, docker_socket="")


class RealClock:
    """See ``model.clock.Clock``."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


def wrap(text: str, stream: str = "stdout", at: str = "2026-11-22T09:00:00.5Z") -> str:
    """Return a line as Docker's json-file driver writes it."""
    return json.dumps({"log": text, "stream": stream, "time": at}, ensure_ascii=False) + "\n"


def parse(data: bytes | str, *, closing: bool = True, final: bool = True, start: int = 0, **how: Any) -> Parsed:  # fmt: skip
    """Parse bytes with a fresh parser."""
    raw = data.encode() if isinstance(data, str) else data
    parser = Parser(REDACTOR, **how)
    return parser.parse(raw, start, ORIGIN, NOW_NS, closing=closing, final=final)


def shown(parsed: Parsed) -> list[str]:
    """Return each record as ``level|flags|message|fields``."""
    rows = []
    for batch in parsed.batches:
        for row in range(len(batch)):
            fields = batch.buf[batch.fields.starts[row] : batch.fields.ends[row]].decode()
            names = " ".join(f.name.lower() for f in Flag if batch.flags[row] & f and not f.name.startswith("TIME_"))  # fmt: skip
            level = "-tdiwef"[batch.levels[row]]
            rows.append((int(batch.offsets[row]), f"{level}|{names}|{batch.text(row)}|{fields}"))
    return [text for _, text in sorted(rows, key=lambda row: row[0])]


def shipper(tasks: TaskSource, directory: Path, *sinks: Sink, settings: Settings = QUICK, registry: CollectorRegistry | None = None, **more: Any) -> Shipper:  # fmt: skip
    """Return a shipper that polls often; not started."""
    return Shipper(tasks, sinks, directory, settings, RealClock(), registry or CollectorRegistry(), **more)  # fmt: skip


def until(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait until a condition holds; False if it never did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())
