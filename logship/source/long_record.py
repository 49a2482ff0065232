"""Records longer than any read window (a 100 MB line): their head is kept, their length counted.

The file is scanned forward a few MiB per turn, with the memory of one window.
"""

from typing import Final, Protocol

from logship.parse.lines import LINE_BYTES_MAX, Lines, Unwrap

STEP_BYTES: Final = 256 << 10
STEPS_PER_TURN: Final = 32
ASIDE_MAX: Final = 10_000


class Readable(Protocol):
    """What is scanned."""

    size: int

    def read(self, offset: int, size: int = ...) -> bytes:
        """Return bytes at an offset."""
        ...


class Scan:
    """Walks over one long record, from its start to the line that ends it."""

    def __init__(self, start: int, unwrap: Unwrap | None) -> None:
        self.start = start
        self._unwrap = unwrap
        self._at = start
        self._head = ""
        self._size = 0
        self._time = ""
        self._stream: str | None = None
        self._aside = Lines(
            [], [], [], [], [], [], {}
        )  # whole lines of the other stream in between

    def advance(self, file: Readable, *, final: bool) -> bool:
        """Scan on; True once the record's end is found."""
        for _ in range(STEPS_PER_TURN):
            data = file.read(self._at, STEP_BYTES)
            if not data:
                return final
            done = self._wrappers(data, self._unwrap) if self._unwrap else self._plain(data)
            if done:
                return True
            if len(data) < STEP_BYTES:
                return final
        return False

    def _plain(self, data: bytes) -> bool:
        end = data.find(b"\n")
        piece = data if end < 0 else data[:end]
        if len(self._head) < LINE_BYTES_MAX:
            self._head += piece.decode("utf-8", "replace")
        self._size += len(piece)
        self._at += len(piece) + (end >= 0)
        return end >= 0

    def _wrappers(self, data: bytes, unwrap: Unwrap) -> bool:
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:  # a wrapper line of more than a step is none of Docker's
            self._at += len(data)
            self._size += len(data)
            return False
        lines = unwrap(whole, self._at)
        partial = set(lines.partial)
        for row, text in enumerate(lines.texts):
            if self._stream is None:
                self._stream, self._time = lines.streams[row], lines.times[row]
            if lines.streams[row] != self._stream:
                self._put_aside(lines, row)
                continue
            if len(self._head) < LINE_BYTES_MAX:
                self._head += text
            self._size += len(text.encode())
            if row not in partial or len(self._aside.texts) > ASIDE_MAX:
                self._at = lines.starts[row + 1]
                return True
        self._at = lines.starts[-1]
        return False

    def _put_aside(self, lines: Lines, row: int) -> None:
        self._aside.texts.append(lines.texts[row][:LINE_BYTES_MAX])
        self._aside.starts.append(lines.starts[row])
        self._aside.streams.append(lines.streams[row])
        self._aside.times.append(lines.times[row])

    def lines(self) -> Lines:
        """Return the cut record and the lines that stood in between."""
        aside = self._aside
        return Lines(
            [self._head[:LINE_BYTES_MAX], *aside.texts],
            [self.start, *aside.starts, self._at],
            [self._stream or "stdout", *aside.streams] if self._unwrap else [],
            [self._time, *aside.times] if self._unwrap else [],
            [],
            [],
            {0: self._size},
        )
