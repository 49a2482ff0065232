"""Docker's multiplexed log stream: frames with an 8 byte header, or plain lines where there is a terminal.

docs.docker.com/reference/api/engine, "Stream format". With ``timestamps=1`` each payload starts
with an RFC 3339 time and a space; a payload without a final newline goes on in the next frame.
"""

import re
from typing import Final

Line = tuple[str, str, str, bool]  # stream, time, text, partial
_STREAMS: Final = {1: "stdout", 2: "stderr"}
_HEADER: Final = 8
_PART: Final = 16 << 10
_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z ")
_FRAME_MAX: Final = 1 << 20  # Docker's are 16 KiB


class Frames:
    """Takes bytes apart as they come."""

    def __init__(self, *, tty: bool) -> None:
        self._tty = tty
        self._rest = b""

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that are complete.

        Raises:
            OSError: If the bytes are no such stream.
        """
        data = self._rest + data
        return self._plain(data) if self._tty else self._framed(data)

    def _plain(self, data: bytes) -> list[Line]:
        *lines, self._rest = data.split(b"\n")
        if len(self._rest) > _FRAME_MAX:
            lines, self._rest = [*lines, self._rest], b""
        return [_line("stdout", _in_one(line.removesuffix(b"\r")) + b"\n") for line in lines]

    def _framed(self, data: bytes) -> list[Line]:
        found = []
        at = 0
        while len(data) - at >= _HEADER:
            size = int.from_bytes(data[at + 4 : at + _HEADER], "big")
            if size > _FRAME_MAX or data[at] > 3:
                raise OSError(0, "it sends something else than log frames")
            if len(data) - at < _HEADER + size:
                break
            payload = data[at + _HEADER : at + _HEADER + size]
            found.append(_line(_STREAMS.get(data[at], "stdout"), payload))
            at += _HEADER + size
        self._rest = data[at:]
        return found


def _in_one(line: bytes) -> bytes:
    """Take the times out that Docker puts before each 16 KiB part of a line, which no frame sets apart here."""
    time, space, text = line.partition(b" ")
    parts = []
    while len(text) > _PART:
        parts.append(text[:_PART])
        found = _TIME.match(text, _PART)
        text = text[found.end() if found else _PART :]
    return time + space + b"".join(parts) + text


def _line(stream: str, payload: bytes) -> Line:
    time, _, text = payload.partition(b" ")
    partial = not text.endswith(b"\n")
    shown = (text if partial else text[:-1]).decode("utf-8", "replace")
    return stream, time.decode("ascii", "replace")[:30], shown, partial
