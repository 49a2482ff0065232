"""Decimal scaling: most measurements are decimal numbers with few places, so they are small integers in disguise.

``values * 10**e`` is kept as an integer where dividing gives the very same bits back, without the zero
bits that all integers of a row end in (memory is counted in pages). Values that
are no numbers (stale markers, NaN, infinities) and -0.0 are set aside, so that one stale marker
does not spoil its row.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Bools, Floats, Ints

RAW: Final = 255  # exponent of a row that is kept as bits
MINUS_ZERO_BITS: Final = np.iinfo(np.int64).min

_EXPONENTS: Final = (0, 1, 2, 3, 4, 5, 6, 9)
_POWERS: Final = np.array([10.0**e for e in range(16)])
_EXACT: Final = 2.0**53  # integers below are exact as floats
_MOST_SPECIAL: Final = 0.25  # share of special values in a row from which bits are shorter


Bytes = npt.NDArray[np.uint8]


class Scaled(Struct, frozen=True):
    """A matrix taken apart.

    Attributes:
        values: float64, shape (k, T), as given.
        exponents: uint8, shape (k,); RAW where the row is kept as bits.
        shifts: uint8, shape (k,); zero bits taken off the end of each integer of the row.
        ints: int64, shape (k, T); what is left, special values repeat their neighbour.
        special: bool, shape (k, T), True where the value is set aside; None if nowhere.
    """

    values: Floats
    exponents: Bytes
    shifts: Bytes
    ints: Ints
    special: Bools | None


def scale(values: Floats) -> Scaled:
    """Find the smallest exponent of ten for each row that keeps every bit."""
    rows, width = values.shape
    special = ~np.isfinite(values)
    special |= values.view(np.int64) == MINUS_ZERO_BITS
    exponents = np.full(rows, RAW, dtype=np.uint8)
    ints = np.zeros((rows, width), dtype=np.int64)
    some_special = bool(special.any())
    plain = _filled(values, special) if some_special else values
    todo = np.arange(rows)
    if some_special:
        todo = todo[special.mean(axis=1) <= _MOST_SPECIAL]
    probe = plain[:, [0, width // 2, width - 1]]
    for exponent in _EXPONENTS:
        if not len(todo):
            break
        likely = todo[_fits(probe[todo], exponent)[1].all(axis=1)]
        if not len(likely):
            continue
        scaled, fits = _fits(plain[likely], exponent)
        good = fits.all(axis=1)
        done = likely[good]
        exponents[done] = exponent
        ints[done] = scaled[good]
        todo = todo[exponents[todo] == RAW]
    bits = np.bitwise_or.reduce(ints, axis=1)
    shifts = np.log2(np.maximum(bits & -bits, 1)).astype(np.uint8)
    if shifts.any():
        ints >>= shifts[:, None]
    return Scaled(values, exponents, shifts, ints, special if some_special else None)


def unscale(ints: Ints, exponents: Bytes, shifts: Bytes) -> Floats:
    """Undo ``scale`` for rows that were not RAW; shapes (k, T), (k,) and (k,). Changes ``ints``."""
    if shifts.any():
        ints <<= shifts[:, None].astype(np.int64)
    floats = ints.astype(np.float64)
    if exponents.any():
        floats /= _POWERS[exponents][:, None]
    return floats


def _fits(values: Floats, exponent: int) -> tuple[Floats, Bools]:
    power = _POWERS[exponent]
    with np.errstate(over="ignore"):  # what overflows does not fit
        scaled = np.rint(values * power) if exponent else np.rint(values)
    back = scaled / power if exponent else scaled
    return scaled, np.equal(back, values) & (np.abs(scaled) < _EXACT)


def _filled(values: Floats, special: Bools) -> Floats:
    """Replace special values by the value before them in the row (0.0 at its start)."""
    source = np.where(special, -1, np.arange(values.shape[1]))
    np.maximum.accumulate(source, axis=1, out=source)
    filled = np.take_along_axis(values, np.maximum(source, 0), axis=1)
    filled[source < 0] = 0.0
    return filled
