"""Logarithms and powers of two are Go's to the last digit."""

import numpy as np
import pytest

from promql import rounding

# what Go 1.26 prints; the C library has another last digit in each
KNOWN = {
    "log": {3.0: 1.0986122886681096, 14.0: 2.639057329615259, 48.0: 3.8712010109078907},
    "log2": {10.0: 3.321928094887362, 20.0: 4.321928094887363, 5.0: 2.321928094887362},
    "log10": {3.0: 0.4771212547196624, 20.0: 1.301029995663981, 10.0: 1.0},
    "exp2": {0.75: 1.6817928305074292, 1.0: 2.0, -1.0: 0.5, 10.0: 1024.0},
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_last_digit_is_that_of_go(name: str) -> None:
    """Exactly, not nearly."""
    known = KNOWN[name]

    assert getattr(rounding, name)(np.array(list(known))).tolist() == list(known.values())


@pytest.mark.parametrize("name", KNOWN)
def test_special_values_are_those_of_numpy(name: str) -> None:
    """Infinities, NaN, zeros, and what is beyond the range."""
    values = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, -1.0, 1e4, -1e4])
    with np.errstate(all="ignore"):
        found = getattr(rounding, name)(values)
        want = getattr(np, name)(values)

    assert np.allclose(found, want, rtol=1e-15, equal_nan=True)


@pytest.mark.parametrize("name", KNOWN)
def test_everywhere_near_the_c_library(name: str) -> None:
    """Over the whole range, within a few of the last digit."""
    spread = np.linspace(-1000, 1000, 40_001)
    values = spread if name == "exp2" else np.exp2(spread)

    assert np.allclose(getattr(rounding, name)(values), getattr(np, name)(values), rtol=1e-14, atol=1e-15)  # fmt: skip
