"""The floats of a Request (2.0) from columns to bytes.

2a <len>  0a <len> <refs>  12 <len> 09 <value> 10 <time> [18 <start>]  [2a <len> 08 <type> 18 <help> 20 <unit>]
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from model.samples import Floats, Ints
from storage.remote.wire import SAMPLE_BYTES, STARTED_BYTES
from storage.tsdb.samples import ranges

Bytes = npt.NDArray[np.uint8]

_TIME_BYTES = 6  # of the usual time
_ABOUT_HEAD = 6  # tag and length, three tags, and the type


class Numbers(Struct, frozen=True):
    """The texts of k series.

    Attributes:
        refs: int64: the numbers of all label names and values, series by series.
        sizes: int64, shape (k,): how many of them each series has.
        about: int64, shape (k, 3): type of the family, and the numbers of its help and unit.
    """

    refs: Ints
    sizes: Ints
    about: Ints

    def take(self, rows: Ints) -> "Numbers":
        """Return those of some series."""
        stops = np.cumsum(self.sizes)
        where = ranges((stops - self.sizes)[rows], stops[rows])
        return Numbers(self.refs[where], self.sizes[rows], self.about[rows])


class FloatColumns(Struct, frozen=True):
    """One sample of the usual form for each of k series; ``start_ms`` is 0 for none."""

    numbers: Numbers
    ts_ms: Ints
    values: Floats
    start_ms: Ints

    def raised(self, base: int) -> "FloatColumns":
        """Return the same with other numbers for the texts."""
        if not base:
            return self
        about = self.numbers.about.copy()
        about[:, 1:] += np.where(about[:, 1:] > 0, base, 0)  # 0 stays the empty text
        numbers = replace(self.numbers, refs=self.numbers.refs + base, about=about)
        return replace(self, numbers=numbers)

    @classmethod
    def concat(cls, parts: Sequence["FloatColumns"]) -> "FloatColumns":
        """Put some behind one another."""
        if len(parts) == 1:
            return parts[0]
        numbers = [part.numbers for part in parts]
        return cls(
            Numbers(
                np.concatenate([one.refs for one in numbers]),
                np.concatenate([one.sizes for one in numbers]),
                np.concatenate([one.about for one in numbers]),
            ),
            np.concatenate([part.ts_ms for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.start_ms for part in parts]),
        )


def write_floats(floats: FloatColumns, local: Ints) -> bytes:
    """Return the TimeSeries fields; ``local`` gives each text its place in the request's symbols."""
    if not len(floats.values):
        return b""
    refs, sizes = local[floats.numbers.refs], floats.numbers.sizes
    kinds = floats.numbers.about[:, 0]
    texts = local[floats.numbers.about[:, 1:]]
    told = (kinds != 0) | (texts != 0).any(axis=1)
    started = floats.start_ms != 0

    widths = _widths(refs)
    stops = np.cumsum(sizes)
    before = np.concatenate([[0], np.cumsum(widths)])
    refs_bytes = before[stops] - before[stops - sizes]
    point_bytes = np.where(started, STARTED_BYTES, SAMPLE_BYTES)
    text_widths = _widths(texts)
    about_bytes = np.where(told, _ABOUT_HEAD + text_widths.sum(axis=1), 0)
    refs_widths = _widths(refs_bytes)
    body = 1 + refs_widths + refs_bytes + point_bytes + about_bytes
    body_widths = _widths(body)
    ends = np.cumsum(1 + body_widths + body)
    at = ends - (1 + body_widths + body)

    out = np.empty(int(ends[-1]), dtype=np.uint8)
    out[at] = 0x2A
    _put(out, at + 1, body, body_widths)
    at = at + 1 + body_widths
    out[at] = 0x0A
    _put(out, at + 1, refs_bytes, refs_widths)
    at = at + 1 + refs_widths
    _put(out, np.repeat(at - before[stops - sizes], sizes) + before[:-1], refs, widths)
    at = at + refs_bytes
    out[at] = 0x12
    out[at + 1] = point_bytes - 2
    out[at + 2] = 0x09
    values = np.ascontiguousarray(floats.values).view(np.uint8).reshape(-1, 8)
    out[(at + 3)[:, None] + np.arange(8)] = values
    out[at + 11] = 0x10
    _put_times(out, at + 12, floats.ts_ms)
    if started.any():
        out[at[started] + SAMPLE_BYTES] = 0x18
        _put_times(out, at[started] + SAMPLE_BYTES + 1, floats.start_ms[started])
    at = (at + point_bytes)[told]
    if len(at):
        out[at] = 0x2A
        out[at + 1] = about_bytes[told] - 2
        out[at + 2] = 0x08
        out[at + 3] = kinds[told]
        out[at + 4] = 0x18
        _put(out, at + 5, texts[told, 0], text_widths[told, 0])
        at = at + 5 + text_widths[told, 0]
        out[at] = 0x20
        _put(out, at + 1, texts[told, 1], text_widths[told, 1])
    return out.tobytes()


def _widths(numbers: Ints) -> Ints:
    """Return how many bytes each number takes as a varint."""
    widths = np.ones(numbers.shape, dtype=np.int64)
    for bits in (7, 14, 21, 28):
        widths += numbers >> bits != 0
    return widths


def _put(out: Bytes, at: Ints, numbers: Ints, widths: Ints) -> None:
    """Write varints."""
    for place in range(int(widths.max(initial=0))):
        some = widths > place
        digits = (numbers[some] >> (7 * place)) & 0x7F
        out[at[some] + place] = digits | np.where(widths[some] > place + 1, 0x80, 0)


def _put_times(out: Bytes, at: Ints, times: Ints) -> None:
    shifts = np.arange(_TIME_BYTES) * 7
    digits = (times[:, None] >> shifts) & 0x7F
    digits[:, :-1] |= 0x80
    out[at[:, None] + np.arange(_TIME_BYTES)] = digits
