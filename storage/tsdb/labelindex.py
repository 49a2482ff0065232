"""One label name of the index: its values as codes, and who has them."""

import numpy as np
from pyroaring import BitMap

from storage.interface import Refs
from storage.tsdb.growable import Growable


class LabelIndex:
    """One label name: its dictionary, its codes by ref, its postings by code."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.values: list[str] = [""]
        self.code_of: dict[str, int] = {"": 0}
        self.codes: Growable[np.int32] = Growable(np.int32)
        self.postings: list[BitMap] = [BitMap()]
        self.free: list[int] = []

    def encode(self, value: str) -> int:
        """Return the code of a string, making one if it is new."""
        code = self.code_of.get(value)
        if code is None:
            if self.free:
                code = self.free.pop()
                self.values[code] = value
            else:
                code = len(self.values)
                self.values.append(value)
                self.postings.append(BitMap())
            self.code_of[value] = code
        return code

    def recycle(self, refs: Refs, size: int) -> None:
        """Let some series have no code, and give codes away again that no series has."""
        codes = self.codes.data[:size]
        codes[refs] = 0
        used = np.zeros(len(self.values), dtype=np.bool_)
        used[codes] = True
        used[0] = True
        used[self.free] = True
        fresh = np.flatnonzero(~used).tolist()
        if fresh:
            self.values = self.values.copy()  # tables made before keep theirs
            for code in fresh:
                del self.code_of[self.values[code]]
                self.values[code] = ""
            self.free.extend(fresh)
