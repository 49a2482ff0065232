"""What stays the same from one exposition of a target to the next.

An exposition is fixed text, a value, fixed text, a value, and so on; the fixed text in front of a
value is a line break, comments and the series. All of it is compared in one go, as words that numpy
gathers from where they should stand: a Python object for each line would cost several times that.
"""

from collections.abc import Iterator, Sequence
from typing import Final, overload

import numpy as np
import numpy.typing as npt

_WORD: Final = 32  # bytes; longer words gather no faster, and leave more of the short texts aside
_WORDS: Final = np.dtype(f"V{_WORD}")
_LINE_BREAK: Final = ord("\n")


class Skeleton:
    """The fixed texts of an exposition.

    Args:
        prefixes: The series of each line that is a sample, the whole text of any other line.
        sampled: Whether each line is a sample; some line is.
    """

    def __init__(self, prefixes: Sequence[bytes], sampled: Sequence[bool]) -> None:
        texts: list[bytes] = []
        text = b""
        for prefix, is_sample in zip(prefixes, sampled, strict=True):
            text += prefix
            if is_sample:
                texts.append(text)
                text = b""
            text += b"\n"
        self._tail = text
        self._lines = len(prefixes)
        self._rows = np.flatnonzero(sampled)
        self._sizes = np.array([len(text) for text in texts])
        self._short = np.flatnonzero(self._sizes < _WORD)
        self._short_texts = [texts[row] for row in self._short.tolist()]
        offsets = [_offsets(len(text)) for text in texts]
        self._counts = np.array([len(some) for some in offsets])
        self._offsets = np.array([at for some in offsets for at in some], dtype=np.int32)
        self._words = np.frombuffer(
            b"".join(
                text[at : at + _WORD]
                for text, some in zip(texts, offsets, strict=True)
                for at in some
            ),
            dtype=np.uint64,
        )

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self._rows)

    def values(self, body: bytes | bytearray) -> bytes | None:
        """Return the text of each value and a line break behind it; None if more than values differs.

        Args:
            body: An exposition that ends with a line break.
        """
        chars = np.frombuffer(body, dtype=np.uint8)
        ends = (chars == _LINE_BREAK).nonzero()[0]
        if len(ends) != self._lines:
            return None
        ends = ends[self._rows]
        begins = np.zeros_like(ends)  # of the fixed texts: each from the end of the value before
        begins[1:] = ends[:-1]
        starts = begins + self._sizes
        if (starts > ends).any() or not self._fits(body, begins):
            return None
        if body[int(ends[-1]) :] != self._tail:
            return None
        sizes = ends - starts + 1
        before = np.cumsum(sizes) - sizes
        where = np.repeat(starts - before, sizes)
        where += np.arange(len(where))
        found: bytes = chars[where].tobytes()
        return found

    def series(self) -> Iterator[bytes]:
        """Yield the series of each sample, put together again."""
        words, at = self._words.tobytes(), 0
        short = iter(self._short_texts)
        for size, count in zip(self._sizes.tolist(), self._counts.tolist(), strict=True):
            end = at + count * _WORD
            # the last word ends with the text, so it says again what the one before it said
            whole = end - _WORD
            text = words[at:whole] + words[end - size + whole - at : end] if count else next(short)
            yield text.rpartition(b"\n")[2]
            at = end

    def _fits(self, body: bytes | bytearray, begins: npt.NDArray[np.intp]) -> bool:
        """Tell whether the fixed texts stand at these places, all of which are within the body."""
        if len(self._offsets):
            where = np.repeat(begins, self._counts)
            where += self._offsets
            # a word begins at every byte
            words = np.ndarray((len(body) - _WORD + 1,), _WORDS, body, strides=(1,))[where]
            if not (words.view(np.uint64) == self._words).all():
                return False
        return all(map(body.startswith, self._short_texts, begins[self._short].tolist()))


class SeriesOf(Sequence[bytes]):
    """The series of a skeleton, which are put together when somebody looks: their texts are not kept twice."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton

    def __len__(self) -> int:
        return self.skeleton.samples

    def __iter__(self) -> Iterator[bytes]:
        return self.skeleton.series()

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        return list(self)[at]


def _offsets(size: int) -> list[int]:
    """Return where the words of a text of this size begin; the last ends with the text, none if it is short."""
    if size < _WORD:
        return []
    return [*range(0, size - _WORD, _WORD), size - _WORD]
