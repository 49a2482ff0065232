"""The heads of lines that are cut out by position: what ``layouts.Headed`` does, for most lines of a read at once."""

from itertools import compress
from operator import itemgetter
from typing import Final

import numpy as np

from logship.parse import timestamps
from logship.parse.columns import Columns
from logship.parse.cut import Cut
from logship.parse.heads import HEADS_MAX, Head, Heads
from logship.parse.wrapped import Mask, block, pieces
from model.samples import Ints

_LEVEL: Final = itemgetter(0)
_FIELDS: Final = itemgetter(1)
_DIGITS: Final = (np.arange(256, dtype=np.uint8) - np.uint8(48)) <= 9
_TIME_CHARS: Final = 64


class CutHeads(dict[bytes, Head]):
    """The heads that end in one mark, by their bytes."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self._heads = heads

    def __missing__(self, text: bytes) -> Head:
        """Take a head apart that was not seen yet."""
        if len(self) >= HEADS_MAX:
            self.clear()
        head = self[text] = self._heads[text.decode()]
        return head


def read(texts: Cut, timed: Mask, mark: bytes, heads: CutHeads) -> tuple[Columns, list[int]] | None:
    """Take lines apart that start with times of one form, followed by a head and a mark.

    Args:
        texts: The lines.
        timed: Which of them may start with a time; at least one.
        mark: What ends a head.
        heads: What is known of heads.

    Returns:
        Columns, and the rows that are left, of which these say nothing: they have no time, no such
        head, or an escape within it. None if the times are of several forms.
    """
    every = bool(timed.all())
    starts, stops = (
        (texts.starts, texts.ends) if every else (texts.starts[timed], texts.ends[timed])
    )
    led = _times(texts, starts, stops)
    if led is None:
        return None
    times, width = led
    begins = starts + width
    find = texts.data.find
    ends = np.array([find(mark, begin, stop) for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True)])  # fmt: skip
    sure = (ends >= 0) & (ends + len(mark) <= (texts.clean if every else texts.clean[timed]))
    ends[~sure] = begins[~sure]  # no head is empty
    found = list(map(heads.__getitem__, pieces(texts.data, begins, ends)))
    levels = np.fromiter(map(_LEVEL, found), dtype=np.int64, count=len(found))
    known = sure & (levels >= 0)
    size = len(texts)
    rows = np.arange(size) if every else np.flatnonzero(timed)
    messages = texts.starts.copy()
    messages[rows] = ends + len(mark)
    fields = list(map(_FIELDS, found))
    columns = Columns.empty(size)
    columns.message = pieces(texts.data, messages, np.maximum(texts.ends, messages))
    columns.times = np.full(size, timestamps.NO_TIME)
    columns.times[rows] = times
    if every:
        columns.fields, columns.levels = fields, levels.tolist()
    else:
        all_levels = np.zeros(size, dtype=np.int64)
        all_levels[rows] = levels
        columns.levels = all_levels.tolist()
        for row, own in zip(compress(range(size), timed.tolist()), fields, strict=True):
            columns.fields[row] = own
    for row, text in texts.aside.items():  # as far as the mark, such a line is as it was read
        columns.message[row] = text.encode("utf-8", "replace")[messages[row] - texts.starts[row] :]
    if every and known.all():
        return columns, []
    settled = np.zeros(size, dtype=np.bool_)
    settled[rows] = known
    return columns, np.flatnonzero(~settled).tolist()


def _times(texts: Cut, starts: Ints, ends: Ints) -> tuple[Ints, int] | None:
    """Return the times that lines start with and how long they are, if they are of one form."""
    first = int(starts[0])
    width, form = timestamps.leading_form(texts.data[first : first + _TIME_CHARS].decode("latin-1"))
    if not form or (ends - starts < width).any():
        return None
    if _DIGITS[np.frombuffer(texts.data, dtype=np.uint8)[starts + width]].any():
        return None  # 12:00:00.15 among 12:00:00.1
    times = timestamps.same_form(block(texts.data, starts, form))
    return None if times is None else (times, width)
