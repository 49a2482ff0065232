"""Times and durations as Prometheus reads them."""

import pytest

from web.api.params import parse_time, seconds_or_duration


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("0", 0),
        ("1435781430.781", 1435781430781),
        ("-1", -1000),
        ("1e3", 1_000_000),
        ("2015-07-01T20:10:51.781Z", 1435781451781),
        ("2015-07-01T20:10:51Z", 1435781451000),
        ("2015-07-01t20:10:51+02:00", 1435774251000),
        ("2015-07-01T20:10:51.123456789Z", 1435781451123),
        ("2015-07-01T20:10:51", None),
        ("2015-07-01", None),
        ("20150701T201051Z", None),
        ("yesterday", None),
        ("", None),
        ("nan", None),
        ("1_000", None),
        ("1e400", 2**53),
    ],
)
def test_time_is_seconds_or_rfc3339(text: str, want: int | None) -> None:
    """A time without a zone, or a date, is none."""
    assert parse_time(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("15", 15_000),
        ("0.5", 500),
        ("1m", 60_000),
        ("1h30m", 5_400_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("2w", 1_209_600_000),
        ("1y", 31_536_000_000),
        ("5ms", 5),
        ("-15", -15_000),
        ("30m1h", None),
        ("1", 1000),
        ("1x", None),
        ("m", None),
        ("", None),
        ("nan", None),
    ],
)
def test_duration_is_seconds_or_units(text: str, want: int | None) -> None:
    """Units stand from large to small, each once."""
    assert seconds_or_duration(text) == want
