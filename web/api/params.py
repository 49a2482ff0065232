"""Parameters of the APIs: times, durations, numbers; a wrong one answers 400 with Prometheus's words."""

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from flask import request

from configfile.duration import parse_duration
from web.api.numbers import go_duration

MIN_MS: Final = -(2**53)
MAX_MS: Final = 2**53

_MOST_SECONDS: Final = 2**63 / 1e9  # durations are nanoseconds in 64 bits upstream
_WHOLE = re.compile(r"[+-]?[0-9]+")
_FRACTION = re.compile(r"\.(\d{1,9})\d*")


class BadParameterError(Exception):
    """A parameter cannot be used; the message names it."""


class Form:
    """The parameters of one request.

    Args:
        values: The values of each name, those of the query string before those of the body.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """Return one parameter."""
        found = self._values.get(name)
        return found[0] if found else default

    def texts(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return [*self._values.get(name, ())]

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number, held between two bounds.

        Raises:
            BadParameterError: If it is none or negative.
        """
        raw = self.text(name)
        if not raw:
            return default
        if not raw.isascii() or not raw.isdigit():
            raise BadParameterError(
                f'invalid parameter "{name}": {raw!r} is no whole number from 0 on'
            )
        return max(low, min(int(raw), high))

    def limit(self) -> int:
        """Return Prometheus's ``limit``: 0 for none.

        Raises:
            BadParameterError: If it is no whole number or negative.
        """
        raw = self.text("limit")
        value = whole_number(raw or "0")
        if value is None:
            raise BadParameterError(f'invalid parameter "limit": {not_a_number(raw)}')
        if value < 0:
            raise BadParameterError('invalid parameter "limit": limit must be non-negative')
        return value

    def plain_limit(self, name: str) -> int:
        """Return one of the limits for which a negative number is none, -1.

        Raises:
            BadParameterError: If it is no whole number.
        """
        raw = self.text(name)
        value = whole_number(raw or "-1")
        if value is None:
            raise BadParameterError(f"{name} must be a number")
        return value

    def time_ms(self, name: str, default: int | None = None) -> int:
        """Return a time given as seconds or RFC 3339, in ms.

        Raises:
            BadParameterError: If it is neither, or missing without a default.
        """
        raw = self.text(name)
        if not raw and default is not None:
            return default
        parsed = parse_time(raw)
        if parsed is None:
            optional = f"invalid time value for '{name}': " if default is not None else ""
            raise BadParameterError(
                f'invalid parameter "{name}": {optional}cannot parse "{raw}" to a valid timestamp'
            )
        return parsed

    def duration_ms(self, name: str) -> int:
        """Return a duration given as seconds or in Prometheus's form (``1h30m``), in ms.

        Raises:
            BadParameterError: If it is neither.
        """
        raw = self.text(name)
        parsed = seconds_or_duration(raw)
        if parsed is None:
            why = ". It overflows int64" if _is_number(raw) else ""
            raise BadParameterError(
                f'invalid parameter "{name}": cannot parse "{raw}" to a valid duration{why}'
            )
        return parsed


def asked() -> Form:
    """Return the parameters of the request that Flask is answering, of query string and form."""
    return Form(request.values.to_dict(flat=False))


def whole_number(raw: str) -> int | None:
    """Return a whole number of 64 bits in decimal digits with a sign or none, None if it is something else."""
    value = int(raw) if _WHOLE.fullmatch(raw) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def not_a_number(raw: str) -> str:
    """Return Go's words for a text that is no whole number of 64 bits."""
    reason = "value out of range" if _WHOLE.fullmatch(raw) else "invalid syntax"
    return f'strconv.Atoi: parsing "{raw}": {reason}'


def parse_time(raw: str) -> int | None:
    """Return seconds since the epoch or an RFC 3339 time as ms, None if it is neither."""
    try:
        seconds = float(raw)
    except ValueError:
        return _rfc3339(raw)
    if math.isnan(seconds) or "_" in raw:
        return None
    return round(max(MIN_MS / 1000, min(seconds, MAX_MS / 1000)) * 1000)


def _rfc3339(raw: str) -> int | None:
    # fromisoformat takes at most six digits of a fraction and far more than RFC 3339 otherwise
    if len(raw) < 20 or raw[10] not in "Tt":
        return None
    try:
        parsed = datetime.fromisoformat(_FRACTION.sub(lambda m: f".{m[1][:6]:0<6}", raw.upper()))
    except ValueError:
        return None
    if parsed.tzinfo is None:
        return None
    delta = parsed - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def seconds_or_duration(raw: str) -> int | None:
    """Return seconds or a Prometheus duration as ms, None if it is neither."""
    if not _is_number(raw):
        with contextlib.suppress(ValueError):
            return parse_duration(raw)
        return None
    seconds = float(raw)
    return round(seconds * 1000) if abs(seconds) < _MOST_SECONDS else None


def _is_number(raw: str) -> bool:
    try:
        float(raw)
    except ValueError:
        return False
    return "_" not in raw


def shown_duration(ms: int) -> str:
    """Return a duration as Go prints it."""
    return go_duration(ms * 1_000_000)
