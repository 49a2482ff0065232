"""Texts that stay where they were read until somebody asks for them; most are only ever looked at as bytes."""

from collections.abc import Iterator, Sequence
from typing import Final, Self, overload

import numpy as np

from logship.parse.wrapped import Chars, Mask, same
from model.samples import Ints

_TAB: Final = "\t"
_FRAME_ESCAPED: Final = rb"\tat "
_FRAME: Final = "\n\tat "  # of Java, of which a trace has dozens


class Cut(Sequence[str]):
    r"""n texts, each a piece of ``data``.

    Attributes:
        data: Valid UTF-8, with more behind the last piece.
        starts: Where each text starts.
        ends: Where its first line ends, by which it is mostly all there is.
        clean: Up to where that line is written as it is meant: before its first escape, or its end.
        firsts: The first byte of each text, a newline where it is empty.
        tabbed: Rows that start with their only escape, a tab.
        aside: What a row's text is where that is something else: it has escapes, or lines were joined to it.

    Args:
        whole: ``data`` as text if it is ASCII.
    """

    def __init__(
        self,
        data: bytes,
        starts: Ints,
        ends: Ints,
        clean: Ints,
        firsts: Chars,
        tabbed: Mask,
        whole: str | None,
    ) -> None:
        self.data = data
        self.starts = starts
        self.ends = ends
        self.clean = clean
        self.firsts = firsts
        self.tabbed = tabbed
        self.aside: dict[int, str] = {}
        self._whole = whole
        self._spans: tuple[list[int], list[int]] | None = None

    def __len__(self) -> int:
        """Return n."""
        return len(self.starts)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        """Return the text of a row, or those of several."""
        if isinstance(row, slice):
            return self.some(range(*row.indices(len(self))))
        text = self.aside.get(row)
        if text is not None:
            return text
        if self._spans is None:
            self._spans = self.starts.tolist(), self.ends.tolist()
        start, end = self._spans[0][row], self._spans[1][row]
        text = self.data[start:end].decode()
        return _TAB + text[2:] if self.tabbed[row] else text

    def __iter__(self) -> Iterator[str]:
        """Iterate over all texts."""
        return iter(self.some(range(len(self))))

    def some(self, rows: Sequence[int]) -> list[str]:
        """Return the texts of some rows."""
        if not len(rows):
            return []
        index = slice(rows.start, rows.stop, rows.step) if isinstance(rows, range) else np.array(rows)  # fmt: skip
        spans = zip(self.starts[index].tolist(), self.ends[index].tolist(), strict=True)
        if self._whole is not None:
            whole = self._whole
            texts = [whole[start:end] for start, end in spans]
        else:
            texts = [self.data[start:end].decode() for start, end in spans]
        for at in np.flatnonzero(self.tabbed[index]).tolist():
            texts[at] = _TAB + texts[at][2:]
        if self.aside:
            for at, row in enumerate(rows):
                if row in self.aside:
                    texts[at] = self.aside[row]
        return texts

    def frames(self, start: int, end: int) -> str | None:
        r"""Return tabbed rows of one trace, each behind a newline; None if one of them is no frame (``\tat ``)."""
        whole = self._whole
        if whole is None or not self.tabbed[start:end].all():
            return None
        spans = zip(self.starts[start:end].tolist(), self.ends[start:end].tolist(), strict=True)
        parts = [whole[first + 2 : last] for first, last in spans]
        joined = "\n\t" + "\n\t".join(parts)
        return joined if joined.count(_FRAME) == end - start else None

    def are_frames(self, rows: Sequence[int]) -> list[bool]:
        """Tell which rows are frames of a Java trace, that nothing was joined to."""
        index = np.asarray(rows)
        frames = self.tabbed[index] & same(self.data, self.starts[index], _FRAME_ESCAPED)
        return [frame and row not in self.aside for frame, row in zip(frames.tolist(), rows, strict=True)]  # fmt: skip

    def take(self, rows: Ints) -> Self:
        """Return some rows, rising, as texts of their own."""
        taken = self.__class__(self.data, self.starts[rows], self.ends[rows], self.clean[rows], self.firsts[rows], self.tabbed[rows], self._whole)  # fmt: skip
        if self.aside:
            places = np.searchsorted(rows, np.fromiter(self.aside, dtype=np.int64, count=len(self.aside)))  # fmt: skip
            for (row, text), at in zip(self.aside.items(), places.tolist(), strict=True):
                if at < len(rows) and rows[at] == row:
                    taken.aside[at] = text
        return taken


def some(texts: Sequence[str], rows: Sequence[int]) -> list[str]:
    """Return the texts of some rows."""
    return texts.some(rows) if isinstance(texts, Cut) else [texts[row] for row in rows]
