"""Messages walked together are read as they are one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.histogram.pool import FIELDS
from storage.remote.columns import HistogramRows
from storage.remote.histograms import HistogramReader, SpanForms
from storage.remote.walk import walk
from storage.remote.wire import WireError, delimited, varint

numbers = st.one_of(st.integers(0, 200), st.integers(0, 2**64 - 1))


def packed(values: list[int]) -> bytes:
    """Return varints behind each other."""
    return b"".join(varint(value) for value in values)


span = st.tuples(st.integers(0, 9), st.integers(0, 4)).map(
    lambda pair: b"\x08" + varint(pair[0] * 2) + b"\x10" + varint(pair[1])
)
field = st.one_of(
    st.tuples(st.sampled_from([0x08, 0x20, 0x30, 0x70, 0x78, 0x88, 0xA0]), numbers).map(
        lambda pair: varint(pair[0]) + varint(pair[1])
    ),
    st.tuples(st.sampled_from([0x11, 0x19, 0x29, 0x39]), st.binary(min_size=8, max_size=8)).map(
        lambda pair: varint(pair[0]) + pair[1]
    ),
    st.tuples(st.sampled_from([0x52, 0x62]), st.lists(st.integers(0, 300), max_size=4)).map(
        lambda pair: delimited(pair[0], packed(pair[1]))
    ),
    st.tuples(st.sampled_from([0x42, 0x5A]), st.lists(span, max_size=3)).map(
        lambda pair: b"".join(delimited(pair[0], one) for one in pair[1])
    ),
    st.sampled_from([b"\x60\x02", delimited(0x6A, bytes(16)), b"\x95\x01abcd", b"\xa2\x01\x02ab"]),
    st.binary(max_size=3),
)
messages = st.lists(st.lists(field, max_size=6).map(b"".join), min_size=1, max_size=4)


def read(request: list[bytes]) -> tuple[HistogramRows | None, list[str]] | None:
    """Return the columns of some messages and what is wrong with them; None if they are none."""
    data, reader = b"".join(request), HistogramReader(SpanForms())
    at = 0
    for row, one in enumerate(request):
        reader.read(data, at, at + len(one), row)
        at += len(one)
    faults: list[str] = []
    try:
        return reader.columns(faults), faults
    except WireError:
        return None


@settings(deadline=None, max_examples=300)
@given(messages)
def test_the_same_as_one_by_one(request: list[bytes]) -> None:
    """Whatever fields stand in whatever order, repeated, unknown or cut off, both ways agree."""
    together = read(request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.remote.histogram_fields.walk", lambda *_: None)
        apart = read(request)

    assert (together is None) == (apart is None)
    if together is None or apart is None:
        return
    assert together[1] == apart[1]
    found, wanted = together[0], apart[0]
    assert found is not None
    assert wanted is not None
    assert found.rows.tolist() == wanted.rows.tolist()
    assert found.ts_ms.tolist() == wanted.ts_ms.tolist()
    assert found.start_ms.tolist() == wanted.start_ms.tolist()
    for name in FIELDS:
        one, other = getattr(found.pool, name), getattr(wanted.pool, name)
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes(), name


def test_what_is_usual_is_walked() -> None:
    """Varints of every length, doubles and delimited fields are found in one go."""
    one = b"\x08" + varint(3) + b"\x19" + np.float64(0.5).tobytes() + delimited(0x5A, b"ab")
    two = b"\x08" + varint(2**63) + delimited(0x5A, b"c") + delimited(0x5A, b"d") + b"\x08\x05"
    data = b"??" + one + two
    starts = np.array([2, 2 + len(one), 5])

    found = walk(data, starts, np.array([2 + len(one), len(data), 5]), frozenset({0x5A}))

    assert found is not None
    assert found.numbers[0x08].tolist() == [3, 5, 0]
    assert found.doubles[0x19].view(np.float64).tolist() == [0.5, 0.0, 0.0]
    assert found.pieces(data, 0x5A) == [b"ab", b"d", b""], "the last one's contents"
    assert found.pieces(data, 0x5A, tagged=True) == [b"\x5a\x02ab", b"\x5a\x01c\x5a\x01d", b""]
    assert found.pieces(data, 0x62) == [b""] * 3


@pytest.mark.parametrize(
    "message",
    [
        b"\x08",
        b"\x08\xff",
        b"\x08" + b"\xff" * 10 + b"\x01",
        b"\x19abc",
        b"\x62\x09ab",
        b"\x62\x01a\x62\x01b",
        b"\x5a\x01a\x08\x01\x5a\x01b",
        b"\x0b\x0c",
        b"\x08\x01" * 65,
        b"\xf9" + b"\xff" * 8 + b"\x01",
    ],
)
def test_what_is_not_usual_is_left_alone(message: bytes) -> None:
    """Fields that are cut off, too long, of an odd kind or scattered are for the other way."""
    data = message + b"\x08\x01" if message.startswith(b"\x19") else message
    stop = np.array([len(message)])

    assert walk(data, np.array([0]), stop, frozenset({0x5A})) is None
