"""An array that grows at its end while others read what is there already."""

from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

ScalarT = TypeVar("ScalarT", bound=np.generic)


class Growable(Generic[ScalarT]):
    """A one-dimensional array with room behind its end.

    One writer at a time. Readers take ``data`` once and look only at indices they have learnt of
    before; a larger array replaces the smaller one, which stays right for whoever holds it.

    Attributes:
        data: The whole room; entries never set hold ``fill``.
    """

    def __init__(self, dtype: type[ScalarT], fill: Any = 0, capacity: int = 256) -> None:
        self._fill = fill
        self.data: npt.NDArray[ScalarT] = np.full(capacity, fill, dtype=dtype)

    def reserve(self, size: int) -> npt.NDArray[ScalarT]:
        """Make room for ``size`` entries and return ``data``."""
        if size > len(self.data):
            grown = np.full(max(size, len(self.data) * 2), self._fill, dtype=self.data.dtype)
            grown[: len(self.data)] = self.data
            self.data = grown
        return self.data

    def clear(self, where: npt.NDArray[np.integer]) -> None:
        """Set some entries back to ``fill``."""
        self.reserve(int(where.max(initial=-1)) + 1)[where] = self._fill

    def raise_to(self, least: Any) -> None:
        """Let no entry, also none to come, be less than this."""
        np.maximum(self.data, least, out=self.data)
        self._fill = max(self._fill, least)
