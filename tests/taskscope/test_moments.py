"""``--since`` and ``--until`` as people say them."""

from datetime import UTC, datetime
from typing import Final

import pytest

from taskscope.cli.moments import moment_ms

NOW: Final = datetime(2026, 3, 4, 15, 30, 20, tzinfo=UTC).astimezone()
NOW_MS: Final = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("now", NOW),
        ("15m", "-900"),
        ("1h30m", "-5400"),
        ("7d", "-604800"),
        ("1772638220", datetime.fromtimestamp(1772638220, UTC)),
        ("1772638220.5", datetime.fromtimestamp(1772638220.5, UTC)),
        ("14:05", NOW.replace(hour=14, minute=5, second=0)),
        ("9:05:07", NOW.replace(hour=9, minute=5, second=7)),
        ("today", NOW.replace(hour=0, minute=0, second=0)),
        ("yesterday", NOW.replace(day=NOW.day - 1, hour=0, minute=0, second=0)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=NOW.tzinfo)),
        ("2026-01-31 12:00", datetime(2026, 1, 31, 12, tzinfo=NOW.tzinfo)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.250+02:00", datetime(2026, 1, 31, 10, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_moments(text: str, want: datetime | str) -> None:
    """Spans count back from now; times without a zone are local."""
    want_ms = NOW_MS + 1000 * int(want) if isinstance(want, str) else round(want.timestamp() * 1000)
    assert moment_ms(text, NOW_MS) == want_ms


@pytest.mark.parametrize("text", ["", "soon", "25:00", "15", "2026-13-01", "-5m", "12:61"])
def test_what_is_no_moment_is_told_with_examples(text: str) -> None:
    """The sentence shows what would be right."""
    with pytest.raises(ValueError, match=r"it looks like 15m"):
        moment_ms(text, NOW_MS)
