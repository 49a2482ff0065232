"""A metric that an operator declared, and how one batch adds to it.

The pattern is looked for once in each record's message: one RE2 search per record that matches,
and none in between, because the messages of a batch lie in one buffer.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import orjson
from msgspec import Struct

from configfile.pattern import compile_pattern
from logship.match import TaskMatch
from logship.parse.fields import at_path, number
from model.log import LEVEL_NAMES, LogBatch

# in a batch NUL parts records and newlines the lines of one; a pattern shall see the reverse,
# so that "." and "$" stop at a record's end
_SWAPPED: Final = bytes.maketrans(b"\0\n", b"\n\0")
LABEL_CHARS_MAX: Final = 200


class LogMetric(Struct, frozen=True):
    """What is counted.

    Attributes:
        name: Of the metric; a histogram's without ``_bucket``.
        is_histogram: Else a counter.
        match: Tasks it is for.
        pattern: Compiled; None counts every record.
        levels: Levels counted, all if empty.
        value: Named group of the pattern or own field of the record that is added; "" adds 1.
        labels: Label and the named group or field that it is taken from.
        buckets: Upper bounds of a histogram, rising, without +Inf.
        help: What it says on the metrics page.
    """

    name: str
    is_histogram: bool
    match: TaskMatch
    pattern: Any = None
    levels: frozenset[int] = frozenset()
    value: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    buckets: tuple[float, ...] = ()
    help: str = ""

    @property
    def fields(self) -> list[str]:
        """What is taken from the records' own fields, because the pattern has no such group."""
        groups = groups_of(self.pattern)
        return [name for name in (self.value, *(source for _, source in self.labels)) if name and name not in groups and name not in _OF_BATCH]  # fmt: skip


_OF_BATCH: Final = ("level", "stream")


def compile_for_records(pattern: str) -> Any:
    """Return a pattern whose ``^`` and ``$`` are the ends of a record's message.

    Raises:
        ValueError: If it is none.
    """
    compile_pattern(pattern)  # whose reason names the operator's own text
    return compile_pattern(f"(?m:{pattern})".encode())


def groups_of(pattern: Any) -> Mapping[str, int]:
    """Return the named groups of a pattern."""
    if pattern is None:
        return {}
    return {name.decode() if isinstance(name, bytes) else name: index for name, index in pattern.groupindex.items()}  # fmt: skip


def counted(metric: LogMetric, batch: LogBatch) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """Yield label values and value of each record that counts; None where the value is no number."""
    allowed = np.isin(batch.levels, list(metric.levels)) if metric.levels else None
    fields = metric.fields
    groups = groups_of(metric.pattern)
    for row, found in _matches(metric.pattern, batch):
        if allowed is not None and not allowed[row]:
            continue
        own = _own(batch, row) if fields else {}
        known = {"level": LEVEL_NAMES[batch.levels[row]] or "none", "stream": batch.stream}

        def read(name: str, found: Any = found, own: Any = own, known: Any = known) -> Any:
            if name in groups:
                return (found[groups[name]] or b"").decode("utf-8", "replace").replace("\0", "\n")
            return known.get(name) if name in known else at_path(own, name)

        values = tuple(_text(read(source))[:LABEL_CHARS_MAX] for _, source in metric.labels)
        yield values, number(read(metric.value)) if metric.value else 1.0


def _matches(pattern: Any, batch: LogBatch) -> Iterator[tuple[int, Any]]:
    """Yield the rows whose message matches, with the first match in each."""
    if pattern is None:
        yield from ((row, None) for row in range(len(batch)))
        return
    starts, ends = batch.message.starts.tolist(), batch.message.ends.tolist()
    if not starts:
        return
    if starts != sorted(starts):  # in another order than in the buffer
        for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
            found = pattern.search(batch.buf[start:end].translate(_SWAPPED))
            if found:
                yield row, found
        return
    base = starts[0]
    text = batch.buf[base : ends[-1]].translate(_SWAPPED)
    at = 0
    while at <= len(text):
        found = pattern.search(text, at)
        if found is None:
            return
        row = bisect_right(starts, found.start() + base) - 1
        end = ends[row] - base
        if found.start() > end or found.end() > end:  # it reaches into the next record
            found = pattern.search(text[starts[row] - base : end])
        if found is not None:
            yield row, found
        if row + 1 == len(starts):
            return
        at = starts[row + 1] - base


def _own(batch: LogBatch, row: int) -> Any:
    try:
        return orjson.loads(batch.buf[batch.fields.starts[row] : batch.fields.ends[row]] or b"{}")
    except orjson.JSONDecodeError:
        return {}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
