"""Numbers come out as Go prints them."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.api.numbers import go_float, go_floats, timestamps


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-12.0, "-12"),
        (0.1, "0.1"),
        (1e-5, "0.00001"),
        (1.5e-5, "0.000015"),
        (1e-6, "0.000001"),
        (-1.23e-6, "-0.00000123"),
        (9.99e-7, "9.99e-07"),
        (-1e-10, "-1e-10"),
        (5e-324, "5e-324"),
        (1e15, "1000000000000000"),
        (1e16, "10000000000000000"),
        (1.5e16, "15000000000000000"),
        (-123456789012345680000.0, "-123456789012345680000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e21, "-1.5e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_value_is_printed_as_go_does(value: float, want: str) -> None:
    """strconv.FormatFloat(v, 'f' or 'e', -1, 64), chosen as Prometheus chooses."""
    assert go_float(value) == want


@given(st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=30))
def test_printed_values_read_back_to_the_same_bits(values: list[float]) -> None:
    """Nothing is lost, whatever stands beside a value in its array."""
    printed = go_floats(np.array(values))
    back = [float(text) for text in printed]

    assert [struct.pack("d", v) for v in back] == [struct.pack("d", v) for v in values]


@given(st.lists(st.floats(width=64), min_size=1, max_size=100))
def test_array_prints_as_its_values_alone(values: list[float]) -> None:
    """Patching one value never touches its neighbours."""
    assert [text.decode() for text in go_floats(np.array(values))] == [go_float(v) for v in values]


@pytest.mark.parametrize(
    ("ts_ms", "want"),
    [(0, b"0"), (1000, b"1"), (1500, b"1.500"), (1001, b"1.001"), (-4500, b"-4.500")],
)
def test_time_is_printed_in_seconds(ts_ms: int, want: bytes) -> None:
    """Whole seconds have no fraction, others three digits (util/jsonutil)."""
    assert timestamps(np.array([ts_ms], dtype=np.int64)) == [want]


def test_no_values_give_no_numbers() -> None:
    """An empty array is not one empty text."""
    assert go_floats(np.array([])) == []
    assert timestamps(np.array([], dtype=np.int64)) == []
