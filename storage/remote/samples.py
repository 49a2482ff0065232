"""Float samples of one request: where they stand is noted, then all are read with numpy."""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from model.samples import Floats, Ints
from storage.remote.columns import Columns
from storage.remote.wire import (
    SAMPLE_BYTES,
    TIME_OFFSET,
    TIME_TAG,
    VALUE_OFFSET,
    WireError,
    read_varint,
    signed,
    skip,
)

_WEIGHTS: Final = 1 << np.arange(0, 42, 7, dtype=np.int64)
_GO_ON: Final = np.array([0x80] * 5 + [0], dtype=np.uint8)  # the last digit has no such bit


class SampleReader(Struct):
    """Gathers the samples of one request.

    Attributes:
        rows: Number of the series of each sample.
        at: Where each sample of the usual form stands in the request; -1 for one of another form.
        started: Which of the usual ones have a start timestamp behind them.
        others: Value's bytes, time and start timestamp of the latter.
    """

    rows: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    others: list[tuple[bytes, int, int]] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    def read(self, data: bytes, at: int, end: int, row: int) -> None:
        """Take one Sample message; writers may leave out a value of 0.0 and a time of 0.

        Raises:
            WireError: If it is none.
        """
        value, ts_ms, start_ms = bytes(8), 0, 0
        while at < end:
            tag, at = read_varint(data, at)
            if tag == 0x09 and at + 8 <= end:
                value, at = data[at : at + 8], at + 8
            elif tag in (0x10, 0x18):
                number, at = read_varint(data, at)
                if tag == 0x10:
                    ts_ms = signed(number)
                else:
                    start_ms = signed(number)
            else:
                at = skip(data, tag, at, end)
        if at > end:
            raise WireError("a sample is longer than its field")
        self.rows.append(row)
        self.at.append(-1)
        self.others.append((value, ts_ms, start_ms))

    def gather(self, data: bytes, found: Columns) -> None:
        """Fill in rows, times, values and start timestamps.

        Raises:
            WireError: If a sample that looked usual is not.
        """
        found.rows = np.array(self.rows, dtype=np.int64)
        at = np.array(self.at, dtype=np.int64)
        raw = np.frombuffer(data, dtype=np.uint8)
        if not self.others and not self.started:
            found.ts_ms, found.values = usual_samples(raw, at)
            return
        found.ts_ms = np.empty(len(at), dtype=np.int64)
        found.values = np.empty(len(at), dtype=np.float64)
        usual = at >= 0
        found.ts_ms[usual], found.values[usual] = usual_samples(raw, at[usual])
        if self.started:
            started = np.array(self.started, dtype=np.int64)
            found.start_ms = np.zeros(len(at), dtype=np.int64)
            found.start_ms[started] = _six_digits(raw, at[started] + SAMPLE_BYTES + 1)
        if self.others:
            bits, times, starts = zip(*self.others, strict=True)
            found.ts_ms[~usual] = times
            found.values[~usual] = np.frombuffer(b"".join(bits), dtype=np.float64)
            if any(starts):
                if found.start_ms is None:
                    found.start_ms = np.zeros(len(at), dtype=np.int64)
                found.start_ms[~usual] = starts


def usual_samples(raw: npt.NDArray[np.uint8], at: Ints) -> tuple[Ints, Floats]:
    """Read times and values of samples of the usual form.

    Raises:
        WireError: If one is not of that form.
    """
    if (raw[at + (TIME_OFFSET - 1)] != TIME_TAG).any():
        raise WireError("a sample has no time")
    values = raw[at[:, None] + (VALUE_OFFSET + np.arange(8))]
    return _six_digits(raw, at + TIME_OFFSET), values.view(np.float64)[:, 0]


def _six_digits(raw: npt.NDArray[np.uint8], places: Ints) -> Ints:
    """Read times whose varint has six bytes."""
    digits = raw[places[:, None] + np.arange(6)]
    if len(digits) and np.array_equal(digits, np.broadcast_to(digits[0], digits.shape)):
        digits, repeat = digits[:1], len(digits)  # one scrape: the same time everywhere
    else:
        repeat = 1
    if ((digits & 0x80) != _GO_ON).any():
        raise WireError("a sample has no time")
    times: Ints = (digits & 0x7F).astype(np.int64) @ _WEIGHTS
    return np.repeat(times, repeat) if repeat > 1 else times
