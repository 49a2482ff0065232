"""Deleted samples taken out of the parts of an answer: columns left out, so that no series has a hole."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from msgspec import Struct

from model.samples import Bools
from storage.tsdb.parts import Part, classes_of


class Cutout(Struct, frozen=True):
    """A deletion beside a selection.

    Attributes:
        gone: bool, shape (series of the selection,): which ones it names.
        mint: First time that goes.
        maxt: Last time.
    """

    gone: Bools
    mint: int
    maxt: int


def without(parts: Iterable[Part], cutouts: Sequence[Cutout]) -> list[Part]:
    """Return parts without what was deleted."""
    left = list(parts)
    for cutout in cutouts:
        left = [piece for part in left for piece in _without(part, cutout)]
    return left


def _without(part: Part, cutout: Cutout) -> Iterator[Part]:
    """Yield the series that are not concerned, and of the others what lies before and behind the deletion."""
    hit = cutout.gone[part.pos]
    apart = part.ts_ms[:, 0].min() > cutout.maxt or part.ts_ms[:, -1].max() < cutout.mint
    if apart or not hit.any():
        yield part
        return
    if not hit.all():
        yield part.take(np.flatnonzero(~hit))
    mine = part.take(np.flatnonzero(hit))
    lows, highs = (mine.ts_ms < cutout.mint).sum(axis=1), (mine.ts_ms <= cutout.maxt).sum(axis=1)
    none, width = np.zeros_like(lows), mine.ts_ms.shape[1]
    for starts, stops in ((none, lows), (highs, none + width)):
        for start, stop, rows in classes_of(starts, stops):
            at = np.arange(len(mine.pos)) if rows is None else np.flatnonzero(rows[mine.ts_row])
            yield mine.take(at, slice(start, stop))
