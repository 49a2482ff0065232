"""From bytes to lines: what a json-file wrapper or a raw file holds, before records are made of it."""

import json
import re
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from logship.parse import timestamps
from model.samples import Ints

LINE_BYTES_MAX: Final = 1 << 20  # a record is cut here
_NEWLINE, _OPEN, _CLOSE = b"\n{}"


class Lines(Struct):
    """n physical lines of one source, in order.

    Attributes:
        texts: Without the line's own newline.
        starts: Offset of each line in its source; one more than n: the last is where it goes on.
        streams: "stdout" or "stderr" per line; empty where all lines are of one stream.
        times: As the runtime wrote them; empty where it wrote none.
        partial: Rows of lines that go on in the next line of the same stream (Docker cuts at 16 KiB).
        unwrapped: Rows whose wrapper could not be read; they stand as they are.
        sizes: Bytes before a cut by row, for rows that were cut.
    """

    texts: list[str]
    starts: list[int]
    streams: list[str]
    times: list[str]
    partial: list[int]
    unwrapped: list[int]
    sizes: dict[int, int]

    def runtime_ns(self, rows: Ints | None = None) -> Ints | None:
        """Return the runtime's times of some rows or all, int64 shape (n,); None where it wrote none."""
        if not self.times:
            return None
        times = self.times
        return timestamps.column(times if rows is None else [times[row] for row in rows.tolist()])


Unwrap = Callable[[bytes, int], Lines]
"""Takes whole lines that start at an offset out of what a runtime wrapped them in."""


class Wrapper(msgspec.Struct, gc=False):
    """A line of Docker's json-file driver; ``attrs`` and whatever else is there is passed over."""

    log: str
    stream: str = "stdout"
    time: str = ""


_WRAPPER = msgspec.json.Decoder(Wrapper)


def json_file(data: bytes, start: int) -> Lines:
    """Unwrap whole lines (``data`` ends in a newline) of a json-file log."""
    lines = Lines([], [], [], [], [], [], {})
    breaks = object_breaks(data)
    if breaks is not None:
        lines.starts = [start, *(breaks + (start + 1)).tolist()]
    try:
        wrappers = _WRAPPER.decode_lines(data) if breaks is not None else []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        wrappers = []
    if breaks is None or len(wrappers) != len(breaks):  # a bad line, or two objects on one
        raw = data.split(b"\n")
        raw.pop()
        lines.starts = _starts(raw, start)
        wrappers = [_unwrap(row, line, lines) for row, line in enumerate(raw)]
    lines.streams = [wrapper.stream for wrapper in wrappers]
    lines.times = [wrapper.time for wrapper in wrappers]
    texts = [wrapper.log for wrapper in wrappers]
    lines.texts = [text[:-1] for text in texts]
    if "\n".join(lines.texts) + "\n" != "".join(texts):  # not all of them end in a newline
        lines.partial = [row for row, text in enumerate(texts) if text[-1:] != "\n"]
        lines.texts = [text.removesuffix("\n") for text in texts]
    return lines


def object_breaks(data: bytes) -> Ints | None:
    r"""Return where the newlines are, if each line looks like one JSON object and ends in one.

    No JSON value goes on over ``}\n{``. So if every break is one, and as many values are decoded
    as there are lines, then each line is exactly one value.
    """
    if data[:1] != b"{" or data[-1:] != b"\n":
        return None
    chars = np.frombuffer(data, dtype=np.uint8)
    (breaks,) = (chars == _NEWLINE).nonzero()
    whole = (chars[breaks - 1] == _CLOSE).all() and (chars[breaks[:-1] + 1] == _OPEN).all()
    return breaks if whole else None


def _starts(raw: list[bytes], start: int) -> list[int]:
    lengths = np.fromiter(map(len, raw), dtype=np.int64, count=len(raw))
    return [start, *(start + np.cumsum(lengths + 1)).tolist()]


def _unwrap(row: int, line: bytes, lines: Lines) -> Wrapper:
    """Unwrap one line on its own: torn ones (a crash in mid-write) stand as they are."""
    try:
        return _WRAPPER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        value = json.loads(line)
        text = value["log"].encode("utf-8", "replace").decode()
        return Wrapper(text, str(value.get("stream", "stdout")), str(value.get("time", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        lines.unwrapped.append(row)
        return Wrapper(line.decode("utf-8", "replace") + "\n")


_CRI: Final = re.compile(r"^(\d{4}-\d\d-\d\dT[^ \n]{1,40}) (stdout|stderr) ([FP])(?::[^ \n]*)?(?: ([^\n]*))?$", re.MULTILINE)  # fmt: skip


def cri(data: bytes, start: int) -> Lines:
    """Unwrap whole lines of a log of the container runtime interface: ``TIME stdout F TEXT``, ``P`` where a line goes on.

    kubernetes/design-proposals, "CRI: Dockershim logging"; tags after the first are passed over.
    """
    raw = data.split(b"\n")
    raw.pop()
    text = data.decode("utf-8", "replace")
    found = _CRI.findall(text)
    lines = Lines([], _starts(raw, start), [], [], [], [], {})
    if len(found) != len(raw):  # a torn line, or one that is none of the runtime's
        found = [_cri_line(row, line, lines) for row, line in enumerate(raw)]
    lines.texts = [parts[3] for parts in found]
    lines.streams = [parts[1] for parts in found]
    lines.times = [parts[0] for parts in found]
    if any([parts[2] != "F" for parts in found]):  # noqa: C419  # half of a generator's price
        lines.partial = [row for row, parts in enumerate(found) if parts[2] == "P"]
    return lines


def _cri_line(row: int, line: bytes, lines: Lines) -> tuple[str, str, str, str]:
    text = line.decode("utf-8", "replace")
    match = _CRI.fullmatch(text)
    if match is None:
        lines.unwrapped.append(row)
        return "", "stdout", "F", text
    return match[1], match[2], match[3], match[4] or ""


def detect(data: bytes) -> Unwrap | None:
    """Tell what lines are wrapped in, by the first of them."""
    line = data[: data.find(b"\n")] if b"\n" in data else data
    if line[:1] == b"{":
        try:
            wrapper = json.loads(line)
        except (ValueError, RecursionError):
            return None
        wrapped = isinstance(wrapper, dict) and wrapper.keys() <= _KEYS and {"log", "time"} <= wrapper.keys()  # fmt: skip
        return json_file if wrapped else None
    return cri if _CRI.fullmatch(line.decode("utf-8", "replace")) else None


_KEYS: Final = frozenset({"log", "stream", "time", "attrs"})


def plain(data: bytes, start: int) -> Lines:
    """Split whole lines of a raw file; a final line without newline counts as one."""
    raw = data.split(b"\n")
    if not raw[-1]:
        raw.pop()
    starts = _starts(raw, start)
    starts[-1] = start + len(data)
    try:
        texts = data.decode().split("\n")
        del texts[len(raw) :]
    except UnicodeDecodeError:
        texts = [r.decode("utf-8", "replace") for r in raw]
    if "\r" in texts[0][-1:] or b"\r\n" in data:
        texts = [text.removesuffix("\r") for text in texts]
    return Lines(texts, starts, [], [], [], [], {})
