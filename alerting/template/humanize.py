"""Numbers for people; results as prometheus template/template.go and common/helpers/templates give them."""

import math
from datetime import UTC, datetime
from typing import Any

_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_BINARY = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")


def number(value: Any) -> float:
    """Return a template value as a number; text is read as one.

    Raises:
        ValueError: If it is none.
        TypeError: If it is neither a number nor text.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"can't convert {type(value).__name__} to float")
    return float(value)


def significant(value: float) -> str:
    """Return Go's ``%.4g``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.4g}"


def _scaled_up(value: float, prefixes: tuple[str, ...], base: float) -> str:
    prefix = ""
    for larger in prefixes:
        if abs(value) < base:
            break
        prefix = larger
        value /= base
    return f"{significant(value)}{prefix}"


def _scaled_down(value: float) -> str:
    prefix = ""
    for smaller in _SMALL:
        if abs(value) >= 1:
            break
        prefix = smaller
        value *= 1000
    return f"{significant(value)}{prefix}"


def humanize(value: Any) -> str:
    """Return a number with a metric prefix, 4 digits: ``1.235M``."""
    v = number(value)
    if v == 0 or not math.isfinite(v):
        return significant(v)
    return _scaled_up(v, _LARGE, 1000) if abs(v) >= 1 else _scaled_down(v)


def humanize_1024(value: Any) -> str:
    """Return a number with a binary prefix: ``1.5Mi``."""
    v = number(value)
    if abs(v) <= 1 or not math.isfinite(v):
        return significant(v)
    return _scaled_up(v, _BINARY, 1024)


def humanize_duration(value: Any) -> str:
    """Return seconds as ``1d 2h 3m 4s``, or ``1.5s``, or ``20ms``."""
    v = number(value)
    if not math.isfinite(v):
        return significant(v)
    if v == 0:
        return "0s"
    if abs(v) < 1:
        return f"{_scaled_down(v)}s"
    sign, v = ("-", -v) if v < 0 else ("", v)
    whole = int(v)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {whole % 60}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {whole % 60}s"
    if minutes:
        return f"{sign}{minutes}m {whole % 60}s"
    return f"{sign}{significant(v)}s"


def humanize_percentage(value: Any) -> str:
    """Return a ratio in percent: ``25.5%``."""
    return f"{significant(number(value) * 100)}%"


def humanize_timestamp(value: Any) -> str:
    """Return seconds since the epoch as Go prints a time in UTC."""
    v = number(value)
    if not math.isfinite(v):
        return significant(v)
    ms = round(v * 1000)
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    fraction = f".{ms % 1000:03d}".rstrip("0") if ms % 1000 else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"
