"""Durations in Prometheus's words (prometheus/common model/time.go): ``1h30m``, ``15s``, ``0``."""

import re
from typing import Any, Final

_DURATION: Final = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?"
)
_UNITS_MS: Final = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)


def parse_duration(text: Any) -> int:
    """Return milliseconds.

    Raises:
        ValueError: With what would be right.
    """
    if text in ("0", 0):
        return 0
    match = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if match is None:
        raise ValueError(
            f"not a valid duration: {text!r}; write a number and a unit, as 30s, 5m or 1h30m"
        )
    return sum(int(n) * unit for n, unit in zip(match.groups(), _UNITS_MS, strict=True) if n)
