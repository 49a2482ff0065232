"""The fixed text of an exposition: whatever byte of it changes is seen, whatever the values are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.scrape.skeleton import SeriesOf, Skeleton

SHORT = b"a "
LONG = b'container_memory_bytes{id="/docker/0123456789abcdef",image="shop:1"} '
HELP = b"# HELP b What it is."
LINES = (SHORT, HELP, LONG, b"", SHORT, LONG, b"# EOF")
SAMPLED = (True, False, True, False, True, True, False)


def exposition(values: list[bytes]) -> bytes:
    """Write the lines with these values."""
    left = iter(values)
    lines = zip(LINES, SAMPLED, strict=True)
    return b"".join(line + (next(left) if value else b"") + b"\n" for line, value in lines)


@given(st.lists(st.from_regex(rb"[ -~]{0,40}", fullmatch=True), min_size=4, max_size=4))
def test_any_values_come_back(values: list[bytes]) -> None:
    """Values may be of any length, none included."""
    found = Skeleton(LINES, SAMPLED).values(exposition(values))

    assert found == b"".join(value + b"\n" for value in values)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_every_byte_of_the_fixed_text_counts(kind: type[bytes] | type[bytearray]) -> None:
    """Changing, leaving out or adding any one byte in front of a value or at the end is seen."""
    skeleton = Skeleton(LINES, SAMPLED)
    values = [b"1", b"23.5", b"NaN", b"4"]
    body = exposition(values)
    fixed = exposition([b"\0" * len(value) for value in values])
    assert skeleton.values(kind(body)) == b"1\n23.5\nNaN\n4\n"
    for at, byte in enumerate(fixed):
        if byte == 0:
            continue
        for instead in (b"", bytes([byte ^ 1]), b"\n"):
            other = body[:at] + instead + body[at + 1 :]
            assert other == body or skeleton.values(kind(other)) is None, (at, instead)
    for end in (b"x\n", b"\n"):
        assert skeleton.values(kind(body + end)) is None


@given(
    st.lists(st.binary(max_size=200).map(lambda text: text.replace(b"\n", b"") + b" "), min_size=1)
)
def test_the_series_come_back(series: list[bytes]) -> None:
    """Texts of any length are put together again, comments in front of them left out."""
    lines = [line for text in series for line in (HELP, text)]
    held = SeriesOf(Skeleton(lines, [False, True] * len(series)))

    assert list(held) == series
    assert len(held) == len(series)
    assert held[-1] == series[-1]
