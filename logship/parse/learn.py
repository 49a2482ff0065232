"""How a template is learned from one line: where its quotes, values and outer pairs are."""

import re
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Final, Self

import msgspec
from msgspec import Struct

from logship.parse import keys
from logship.parse.template import Place, Run, Slot, Template
from logship.parse.wrapped import HEAD, LITERAL_MAX

KEYS_MAX: Final = 64
_TOKEN: Final = re.compile(rb'"([^"]*)"( *:)?|[{}\[\]]|[^ "{}\[\]:,]+')
_LINE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FAILURES: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_TAIL: Final = b"\\n"


def learn(line: bytes) -> Template | None:
    r"""Return the template of a JSON line as it stands in its wrapper, or None if it makes none.

    It makes none if there is an escape in it other than ``\"``, a key twice, two numbers in a row,
    between which there is nothing to hold on to, or an object where the message is looked for.
    """
    if line.count(b"\\") != line.count(b'\\"') or b"\\\\" in line:
        return None
    text = line.replace(b'\\"', b'"')
    try:
        names = tuple(_LINE.decode(text))
    except _FAILURES:
        return None
    if len(names) > KEYS_MAX:
        return None
    sketch = _Sketch.of(text)
    return sketch.template(HEAD + line + _TAIL, names) if len(sketch.pairs) == len(names) else None


class _Pair(Struct):
    """A pair of the outer object: where its key and its value are; ``gap`` where the value is one gap."""

    start: int
    end: int = 0
    gap: int = -1


class _Sketch(Struct):
    """One line's backslashes, gaps (start, end, is a text) and outer pairs, as positions in the line."""

    marks: list[int]
    gaps: list[tuple[int, int, bool]]
    pairs: list[_Pair]

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Walk over JSON whose quotes are not escaped yet."""
        sketch = cls([0], [], [])
        depth = 0
        added = len(HEAD)  # so much further right stands a character in its wrapper
        for token in _TOKEN.finditer(text):
            start, end = token.start() + added, token.end() + added
            if token[1] is not None:
                close = token.end(1) + added + 1
                sketch.marks += (start, close)
                added += 2
                if token[2] is None:
                    sketch._value(start + 2, close, close + 2, depth, is_text=True)
                elif depth == 1:
                    sketch.pairs.append(_Pair(start))
            elif token[0] in b"{[":
                depth += 1
            elif token[0] in b"}]":
                depth -= 1
                if depth == 1:
                    sketch.pairs[-1].end = end
            else:
                sketch._value(start, end, end, depth, is_text=False)
        sketch.marks.append(len(text) + added)
        return sketch

    def _value(self, start: int, end: int, behind: int, depth: int, *, is_text: bool) -> None:
        if depth == 1:
            self.pairs[-1].gap, self.pairs[-1].end = len(self.gaps), behind
        self.gaps.append((start, end, is_text))

    def template(self, line: bytes, names: tuple[str, ...]) -> Template | None:
        """Return the template of the line; ``line`` is all up to its newline as escaped by the wrapper."""
        begins = [len(HEAD), *(end for _, end, _ in self.gaps)]
        ends = [*(start for start, _, _ in self.gaps), len(line)]
        anchors = [0, *(bisect_left(self.marks, begin) for begin in begins[1:])]
        near = all(
            self.marks[a] < e and self.marks[a] - b <= len(HEAD)
            for a, b, e in zip(anchors, begins, ends, strict=True)
        )
        if not near or max(e - b for b, e in zip(begins, ends, strict=True)) > LITERAL_MAX:
            return None

        def place(literal: int, position: int) -> Place:
            return Place(anchors[literal], position - self.marks[anchors[literal]])

        def within(position: int) -> Place:
            return place(bisect_right(begins, position) - 1, position)

        slots = [
            Slot(place(n, start), place(n + 1, end), is_text)
            for n, (start, end, is_text) in enumerate(self.gaps)
        ]
        pairs = dict(zip(names, self.pairs, strict=True))
        found = [keys.find(names_of, pairs) for names_of in keys.KNOWN]
        if any(name and pairs[name].gap < 0 for name in found):
            return None
        taken = {name for name in found if name}  # "" stands for none there, and may be a key
        own = [n for n, name in enumerate(names) if name not in taken]
        edges = [0, *(n for n, (a, b) in enumerate(pairwise(own), 1) if b != a + 1), len(own)]
        return Template(
            len(self.marks) - 1,
            tuple((place(n, b), line[b:e]) for n, (b, e) in enumerate(zip(begins, ends, strict=True))),
            tuple(slot for slot in slots if not slot.is_text),
            tuple((name, slots[pairs[name].gap]) if name else None for name in found),
            tuple(Run(within(self.pairs[own[a]].start), within(self.pairs[own[b - 1]].end)) for a, b in pairwise(edges)) if own else (),
        )  # fmt: skip
