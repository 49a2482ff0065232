"""Which layout the text lines of a stream have: found from the lines themselves, and remembered."""

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Final, Literal

import numpy as np

from logship.parse.columns import Columns
from logship.parse.cut import Cut, some
from logship.parse.layouts import TIME_START, Access, Console, Headed, Klog, Layout, fill_traces
from logship.parse.levels import LevelFinder
from logship.parse.text_lines import loose

TextFormat = Literal["auto", "access", "klog", "pattern"]
_SAMPLE: Final = 40
_ENOUGH: Final = 0.6  # share of a sample that must be of a layout
_LOST: Final = 0.2  # below this share of a read the layout is another one now
_TRIES: Final = 8  # reads looked at before it is tried less often
_PAUSE: Final = 64
_TIME_STARTS: Final = np.zeros(256, dtype=np.bool_)
_TIME_STARTS[[ord(char) for char in TIME_START]] = True
_NO_HEAD: Final = frozenset(("", " ", "\t"))  # such a line says nothing of the others

# where heads end, in the order of preference between equals
_MARKS: Final = (
    (" - ", 1), (" : ", 1), (" - ", 2), (" - ", 3), ("] ", 1), ("] ", 2), ("] ", 3), ("]: ", 1), (": ", 1), (": ", 2),
    (" | ", 1), (" | ", 2), (" | ", 3), ("\t", 2), ("\t", 3), (":", 2),
)  # fmt: skip


def _headed() -> list[Layout]:
    return [Headed(mark, nth) for mark, nth in _MARKS]


_CANDIDATES: Final[dict[str, Callable[[], list[Layout]]]] = {
    "auto": lambda: [Access(), Klog(), Console(), *_headed()],
    "access": lambda: [Access()],
    "klog": lambda: [Klog()],
    "pattern": _headed,
}


class TextLines:
    """Takes the text lines of one stream apart.

    With a ``format`` other than auto, lines that are of another layout count as unparsed.
    """

    def __init__(self, format: TextFormat = "auto") -> None:  # noqa: A002  # the word of the label
        self._format = format
        self._layout: Layout | None = None
        self._reads = 0
        self._finder = LevelFinder()

    def decode(self, texts: Sequence[str], near_ns: int) -> Columns:
        """Return the columns of lines; ``near_ns`` is about when they were written."""
        if self._layout is None and self._worth_a_look():
            self._layout = self._detect(texts)
        if self._layout is None:
            columns = loose(list(texts), self._finder, near_ns)
            if self._format != "auto":
                columns.unparsed = list(range(len(texts)))
            return columns
        columns, known = self._by_layout(self._layout, texts, near_ns)
        if len(texts) >= _TRIES and known < len(texts) * _LOST:
            self._layout, self._reads = None, 0
        return columns

    def _by_layout(self, layout: Layout, texts: Sequence[str], near_ns: int) -> tuple[Columns, int]:
        """Return the columns of lines, and how many of them were of the layout."""
        if isinstance(texts, Cut):
            read = self._by_position(layout, texts, near_ns)
            if read is not None:
                return read
            texts = list(texts)
        may = [text[:1] in TIME_START for text in texts] if layout.timed else []
        if False not in may:
            columns, others = layout.decode(texts, self._finder, near_ns)
            if others:
                self._others(columns, some(texts, others), others, near_ns)
            return columns, len(texts) - len(others)
        # among lines with a time, one that starts with something else has no head
        rows = [row for row, one in enumerate(may) if one]
        rest = [row for row, one in enumerate(may) if not one]
        columns, known = Columns.empty(len(texts)), 0
        if rows:
            part, known = self._by_layout(layout, some(texts, rows), near_ns)
            columns.put(part, rows)
        self._others(columns, some(texts, rest), rest, near_ns)
        return columns, known

    def _by_position(self, layout: Layout, texts: Cut, near_ns: int) -> tuple[Columns, int] | None:
        """Return what ``_by_layout`` does, without a look at most lines; None where these are not alike."""
        if not layout.timed or not isinstance(layout, Headed):
            return None
        timed = _TIME_STARTS[texts.firsts]
        read = layout.by_position(texts, timed)
        if read is None:
            return None
        columns, left = read
        known = len(texts) - len(left)
        rows = [row for row in left if timed[row]]
        if rows:
            part, found = self._by_layout(layout, some(texts, rows), near_ns)
            columns.put(part, rows)
            known += found
        rest = [row for row in left if not timed[row]]
        if rest and self._format == "auto":
            frames = texts.are_frames(rest)
            for row in compress(rest, frames):  # these have nothing to be found in them
                columns.message[row] = b"\t" + columns.message[row][2:]
            rest = [row for row, frame in zip(rest, frames, strict=True) if not frame]
        if rest:
            self._others(columns, some(texts, rest), rest, near_ns)
        fill_traces(columns, texts)
        return columns, known

    def _others(self, columns: Columns, texts: list[str], rows: list[int], near_ns: int) -> None:
        columns.put(loose(texts, self._finder, near_ns), rows)
        if self._format != "auto":
            columns.unparsed = sorted({*columns.unparsed, *rows})

    def _worth_a_look(self) -> bool:
        self._reads += 1
        return self._reads <= _TRIES or self._reads % _PAUSE == 0

    def _detect(self, texts: Sequence[str]) -> Layout | None:
        """Return the layout that most of the first lines are of, or None."""
        sample = [
            text.split("\n", 1)[0] if text[:1].isdigit() else text for text in texts[:_SAMPLE]
        ]
        sample = [text for text in sample if text[:1] not in _NO_HEAD]
        best: tuple[int, int, Layout] | None = None
        for layout in _CANDIDATES[self._format]():
            strengths = [strength for text in sample if (strength := layout.strength(text))]
            if len(strengths) < max(1, _ENOUGH * len(sample)):
                continue
            score = (len(strengths), sum(strengths) // len(strengths))
            if score[1] < 100 and (len(sample) < 4 or self._weak(score[1])):
                continue
            if best is None or score > best[:2]:
                best = (*score, layout)
        if best is None:
            return None
        best[2].seen([text for text in sample if best[2].strength(text)])
        return best[2]

    def _weak(self, words: int) -> bool:
        """Tell whether a layout may well be prose: a level alone, with nothing that a logger adds."""
        return self._format == "auto" and words < 2
