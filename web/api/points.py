"""Points of floats as JSON without a Python object for each: numbers as one text, stamps written into it.

The numbers of many series stand in one text with commas between them. Each comma is replaced by what
stands between two points, ``"],[1795374900,"``, of which all that differs from step to step is left
open; these few digits are then filled in for all points at once. Lastly the text is cut into series.
"""

from collections.abc import Sequence
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.samples import Floats, Ints
from web.api.numbers import go_text, timestamps

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]

_COMMA: Final = ord(",")
_BEFORE: Final = b'"],['
_AFTER: Final = b',"'


class Stamps:
    """The times of the steps of a matrix, whose texts are all of one length.

    Attributes:
        texts: uint8, shape (steps, length).
        varying: Which columns of ``texts`` differ among steps.
        digits: Those columns, shape (steps,) each.
        template: What stands between two points; open columns are NUL.
    """

    def __init__(self, texts: Bytes) -> None:
        self.texts = texts
        self.varying = np.flatnonzero((texts != texts[0]).any(axis=0))
        self.digits = [np.ascontiguousarray(texts[:, column]) for column in self.varying]
        usual = texts[0].copy()
        usual[self.varying] = 0
        self.template = _BEFORE + usual.tobytes() + _AFTER

    @classmethod
    def of(cls, ts_ms: Ints) -> Self | None:
        """Return the stamps of steps, shape (steps,); None if their texts differ in length."""
        texts = timestamps(ts_ms)
        length = len(texts[0])
        if any(len(text) != length for text in texts):
            return None
        return cls(np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(-1, length))

    def first(self, step: int) -> bytes:
        """Return what begins a series whose first point stands at a step."""
        text: bytes = self.texts[step].tobytes()
        return b"[" + text + _AFTER


def series_texts(
    stamps: Stamps, values: Floats, at_row: Indices, at_step: Indices, metrics: Sequence[bytes]
) -> bytes:
    """Return series with their points, without the brackets of the list.

    Args:
        stamps: Times of the steps.
        values: Finite or NaN, shape (points,), row after row.
        at_row: Row of each point, rising.
        at_step: Step of each point.
        metrics: Labels of each row as a JSON object.
    """
    text = go_text(values)  # ends in a comma
    commas = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == _COMMA)
    out = bytearray(text).replace(b",", stamps.template)
    # where what stood at each comma begins now
    gaps = commas + np.arange(len(commas)) * (len(stamps.template) - 1)
    cells = np.frombuffer(out, dtype=np.uint8)
    following = at_step[1:]
    for column, digits in zip(stamps.varying.tolist(), stamps.digits, strict=True):
        cells[gaps[:-1] + (len(_BEFORE) + column)] = digits[following]
    firsts = np.flatnonzero(np.diff(at_row, prepend=-1))
    begins = np.where(firsts > 0, gaps[firsts - 1] + len(stamps.template), 0).tolist()
    ends = gaps[np.append(firsts[1:], len(at_row)) - 1].tolist()
    view = memoryview(out)
    pieces: list[bytes | memoryview] = []
    for row, step, begin, end in zip(
        at_row[firsts].tolist(), at_step[firsts].tolist(), begins, ends, strict=True
    ):
        opening = b'"]]},{"metric":' if pieces else b'{"metric":'
        pieces += [opening, metrics[row], b',"values":[', stamps.first(step), view[begin:end]]
    return b"".join(pieces) + b'"]]}'
