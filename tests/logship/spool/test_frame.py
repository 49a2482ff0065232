"""Records in a segment: whole ones come out whatever stands between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logship.spool.frame import HEADER_BYTES, MAGIC, frame, scan

PAYLOADS = st.lists(st.one_of(st.binary(max_size=60), st.binary().map(lambda b: b + MAGIC)), min_size=1, max_size=6)  # fmt: skip


def framed(payloads: list[bytes], position: int) -> bytes:
    """Return records one behind the other."""
    data = b""
    for payload in payloads:
        data += frame(payload, position + len(data))
    return data


@given(PAYLOADS, st.integers(0, 1 << 40))
def test_records_come_back(payloads: list[bytes], position: int) -> None:
    """With their positions, and nothing is counted as damaged."""
    data = framed(payloads, position)

    found = scan(data, position, last=True)

    assert [r.payload for r in found.records] == payloads
    assert (found.end, found.damaged) == (position + len(data), 0)


@pytest.mark.parametrize("byte", range(3 * HEADER_BYTES + 30))
def test_any_changed_byte_costs_one_record(byte: int) -> None:
    """Also one in a length or in a checksum; it is counted once."""
    payloads = [b"0123456789"] * 3
    data = bytearray(framed(payloads, 0))
    data[byte] ^= 0x5A

    found = scan(bytes(data), 0, last=True)

    assert [r.start for r in found.records] == [n * (HEADER_BYTES + 10) for n in range(3) if n != byte // (HEADER_BYTES + 10)]  # fmt: skip
    assert (found.damaged, found.end) == (1, len(data))


@given(PAYLOADS, st.binary(max_size=80), st.integers(0, 400))
def test_rubbish_between_records_costs_none(payloads: list[bytes], rubbish: bytes, cut: int) -> None:  # fmt: skip
    """The next header is found; read in windows of any size it is the same."""
    head = framed(payloads, 0)
    data = head + rubbish
    data += framed(payloads, len(data))

    whole = scan(data, 0, last=True)
    first = scan(data[: cut + 1], 0, last=cut + 1 >= len(data))
    rest = scan(data[first.end :], first.end, last=True)

    assert [r.payload for r in whole.records] == payloads * 2
    assert [r.payload for r in first.records + rest.records] == payloads * 2


def test_record_within_a_record_is_none() -> None:
    """A payload that is a segment itself is not taken apart, not even where the header before it is damaged."""
    inner = framed([b"inner"], 0)
    data = bytearray(framed([inner, b"next"], 0))
    data[5] ^= 1

    assert [r.payload for r in scan(bytes(data), 0, last=True).records] == [b"next"]


@given(st.binary(max_size=2000))
def test_nothing_raises(data: bytes) -> None:
    """Whatever stands in a file; all of it is gone through."""
    assert scan(data, 7, last=True).end == 7 + len(data)
