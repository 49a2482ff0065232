"""Moments as people say them: how long ago, a time of today, a date with a time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from configfile.duration import parse_duration

_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_SECONDS: Final = re.compile(r"\d{9,}(?:\.\d+)?")
_DAYS: Final = {"today": 0, "yesterday": 1}


def moment_ms(text: str, now_ms: int) -> int:
    """Return the moment that a text names, in ms since the epoch.

    Args:
        text: A span before now (``15m``, ``2h30m``), a time of today (``14:05``, ``14:05:30``),
            ``now``, ``today``, ``yesterday`` (their midnight), a date, a date and time (``2026-01-31 12:00``, local
            unless it names a zone), or seconds since the epoch.
        now_ms: The moment that is now.

    Raises:
        ValueError: With what would be right.
    """
    text = text.strip()
    now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if text == "now":
        return now_ms
    if text in _DAYS:
        return _ms((midnight - timedelta(days=_DAYS[text])).astimezone())
    if _SECONDS.fullmatch(text):
        return round(float(text) * 1000)
    if clock := _CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in clock.groups())
        if hour < 24 and minute < 60 and second < 60:
            return _ms(midnight.replace(hour=hour, minute=minute, second=second).astimezone())
    try:
        return now_ms - parse_duration(text)
    except ValueError:
        pass
    try:
        return _ms(datetime.fromisoformat(text).astimezone())
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is no span and no time; it looks like 15m, 2h, 14:05, yesterday, 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from error


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
