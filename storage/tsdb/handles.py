"""What refs are called outside of the store: the ref and, above it, how often it was given away."""

from typing import Final

import numpy as np

from model.errors import UnknownSeriesError
from storage.interface import Refs
from storage.tsdb.growable import Growable

_BITS: Final = 32
_MASK: Final = (1 << _BITS) - 1


class Handles:
    """Turns refs into handles and back."""

    def __init__(self) -> None:
        self._given: Growable[np.int64] = Growable(np.int64, 0)
        self._ever = False

    def of(self, refs: Refs) -> Refs:
        """Return the handles of refs as they are now."""
        if not self._ever:
            return refs
        room = self._given.reserve(int(refs.max(initial=0)) + 1)
        handles: Refs = refs | (room[refs] << _BITS)
        return handles

    def refs(self, handles: Refs) -> Refs:
        """Return the refs of handles.

        Raises:
            UnknownSeriesError: If one of them is not good any more.
        """
        if not self._ever:
            return handles
        refs: Refs = handles & _MASK
        room = self._given.reserve(int(refs.max(initial=0)) + 1)
        if (room[refs] != handles >> _BITS).any():
            raise UnknownSeriesError(
                "a series was not appended to for so long that it was forgotten; register it again"
            )
        return refs

    def end(self, refs: Refs) -> None:
        """Let the handles of some refs be good no more."""
        self._ever = True
        self._given.reserve(int(refs.max(initial=0)) + 1)[refs] += 1
