"""Frames give back the very bits they were given, and notice damage."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import StorageError
from model.samples import NO_SAMPLE_BITS, STALE_BITS, Floats, Ints
from storage.interface import TS_PAD
from storage.tsdb.codec import decode_frame, decode_times, encode_frame, encode_times
from storage.tsdb.scaling import RAW, scale

SPECIAL_BITS = [
    STALE_BITS,
    NO_SAMPLE_BITS,
    0x7FF8000000000001,  # a quiet NaN with payload
    0x7FF0000000000000,
    -(2**63) + 0x7FF0000000000000,  # -inf
    -(2**63),  # -0.0
    1,  # the smallest number there is
]
decimals = st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 9)).map(
    lambda pair: pair[0] / 10 ** pair[1]
)
bits = st.one_of(
    decimals.map(lambda x: int(np.float64(x).view(np.int64))),
    st.sampled_from(SPECIAL_BITS),
    st.integers(-(2**63), 2**63 - 1),
)
shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
matrices = hnp.arrays(np.int64, shapes, elements=bits, fill=st.just(0))


def round_trip(values: Floats) -> Floats:
    """Encode and decode all rows as one frame."""
    return decode_frame(encode_frame(scale(values), np.arange(len(values)), dense=False))[0]


@settings(deadline=None)
@given(matrices)
def test_every_bit_comes_back(matrix: Ints) -> None:
    """Any 64 bits survive, special values and -0.0 among them."""
    found = round_trip(matrix.view(np.float64))

    assert np.array_equal(found.view(np.int64), matrix)


@pytest.mark.parametrize(
    ("name", "values", "most_bytes"),
    [
        ("constant", np.full((50, 104), 42.0), 300),
        ("counter", np.cumsum(np.tile([3.0, 5.0, 4.0, 4.0], (50, 26)), axis=1), 4000),
        ("two places", np.tile([0.25, 17.5, 99.99, 12.01], (50, 26)), 5000),
        ("pages", 4096.0 * np.cumsum(np.tile([1.0, -1.0, 7.0, 0.0], (50, 26)), axis=1), 4000),
    ],
)
def test_decimal_numbers_become_small(name: str, values: Floats, most_bytes: int) -> None:
    """Measurements with few places are stored as small integers."""
    scaled = scale(values)

    data = encode_frame(scaled, np.arange(50), dense=True)

    assert (scaled.exponents != RAW).all(), name
    assert len(data) < most_bytes


def raw_rows(name: str) -> Floats:
    """Return rows that are no decimal numbers, shape (20, 120)."""
    rng = np.random.default_rng(5)
    shape = (20, 120)
    return {
        "noise": rng.normal(size=shape),
        "walk": 100 + np.cumsum(rng.normal(size=shape), axis=1),
        "thirds": np.cumsum(rng.integers(0, 9, shape), axis=1) / 3,
        "narrow": rng.normal(size=shape).astype(np.float32).astype(np.float64),
        "few": rng.choice([1 / 3, 2 / 7, np.pi], shape),
    }[name]


@pytest.mark.parametrize(
    ("name", "most"),
    [("noise", 7.3), ("walk", 6.6), ("thirds", 1.7), ("narrow", 4.2), ("few", 0.6)],
)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_raw_rows_come_back(name: str, most: float, share: float) -> None:
    """Rows that do not scale are no longer than their bits say, and exact with special values in them."""
    values = raw_rows(name)
    rng = np.random.default_rng(6)
    hit = rng.random(values.shape) < share
    values.view(np.int64)[hit] = rng.choice(SPECIAL_BITS, int(hit.sum()))
    scaled = scale(values)

    data = encode_frame(scaled, np.arange(20), dense=False)

    assert (scaled.exponents == RAW).all()
    assert share or len(data) < most * values.size
    assert np.array_equal(decode_frame(data)[0].view(np.int64), values.view(np.int64))


def test_frames_of_version_1_are_read() -> None:
    """What a store wrote before raw rows could be in pcodec is read as it was."""
    written = bytes.fromhex(
        "0100020004000000190000001e0000002900000000000000ff0100000100000028b52ffd200c6100000600"
        "0000020000000000f07f70636f210300020104010403000000100000000000000000002400faf00028b52ffd"
        "20200101005500cf085500ccbd5500ccd05500cc0b5500ccbd5500ccd0d5305c7b3f000000c212a05c"
    )

    found, dense = decode_frame(written)

    wanted = np.array([[1 / 3, 2 / 3, 0.1, 1 / 7], [1, 2.5, 3, 4]])
    wanted.view(np.int64)[1, 2] = STALE_BITS
    assert not dense
    assert np.array_equal(found.view(np.int64), wanted.view(np.int64))


def test_one_stale_marker_does_not_spoil_the_row() -> None:
    """A special value is set aside; the rest of its row is scaled as before."""
    values = np.cumsum(np.tile([3.0, 5.0], (4, 30)), axis=1)
    values.view(np.int64)[2, 17] = STALE_BITS

    scaled = scale(values)

    assert (scaled.exponents == 0).all()
    assert round_trip(values).view(np.int64)[2, 17] == STALE_BITS


def test_only_some_rows_can_be_encoded() -> None:
    """A frame holds the rows it is told, in that order."""
    values = np.arange(12.0).reshape(4, 3) / 7

    found, dense = decode_frame(encode_frame(scale(values), np.array([3, 1]), dense=True))

    assert dense
    assert np.array_equal(found, values[[3, 1]])


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.integers(-(2**40), 2**45), min_size=1, max_size=9, unique=True).map(sorted),
        min_size=1,
        max_size=6,
    )
)
def test_timestamps_come_back(rows: list[list[int]]) -> None:
    """Rows of different length are padded and stay so."""
    ts = np.full((len(rows), max(map(len, rows))), TS_PAD, dtype=np.int64)
    for i, row in enumerate(rows):
        ts[i, : len(row)] = row

    assert np.array_equal(decode_times(encode_times(ts)), ts)


def test_damage_is_noticed() -> None:
    """A flipped bit anywhere in a frame is an error, not a wrong number."""
    data = encode_frame(scale(np.arange(60.0).reshape(3, 20) / 3), np.arange(3), dense=True)

    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(StorageError, match="frame"):
            decode_frame(bytes(damaged))


def test_a_cut_frame_is_noticed() -> None:
    """A frame without its end is an error."""
    data = encode_frame(scale(np.ones((2, 5))), np.arange(2), dense=True)

    with pytest.raises(StorageError):
        decode_frame(data[:-3])
    with pytest.raises(StorageError, match="cut short"):
        decode_frame(data[:10])
