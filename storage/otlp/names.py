"""Names of OpenTelemetry in Prometheus's words: letters, digits and underscores, with unit and type suffixes.

The strategy is Prometheus's default, UnderscoreEscapingWithSuffixes; the rules are those of
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/.
"""

import re
from functools import lru_cache
from typing import Final

_UNITS: Final = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
    "Cel": "celsius", "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
_PER: Final = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip
_WORD: Final = re.compile(r"[a-zA-Z0-9:]+")
_OTHER: Final = re.compile(r"[^a-zA-Z0-9:_]")


@lru_cache(maxsize=65_536)
def metric_name(name: str, unit: str, kind: str) -> str:
    """Return the name of a metric family, "" if nothing is left of it.

    Args:
        name: OpenTelemetry's.
        unit: A UCUM unit.
        kind: ``gauge``, ``counter`` or another type.
    """
    words = _WORD.findall(name)
    for suffix in unit_words(unit):
        if suffix not in words:
            words.append(suffix)
    if kind == "counter":
        words = [*(word for word in words if word != "total"), "total"]
    if unit == "1" and kind == "gauge":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    made = "_".join(words)
    return f"_{made}" if made[:1].isdigit() else made


def unit_words(unit: str) -> list[str]:
    """Return what a unit adds to a name: ``By/s`` gives ``bytes`` and ``per_second``."""
    main, _, per = (part.strip() for part in unit.partition("/"))
    words = []
    if main and "{" not in main and "}" not in main:
        words.append(_clean(_UNITS.get(main, main)))
    if per and "{" not in per and "}" not in per:
        words.append(_clean(f"per_{_PER.get(per, per)}").rstrip("_"))
    return [word for word in words if word]


def _clean(unit: str) -> str:
    return re.sub("__+", "_", _OTHER.sub("_", unit)).removeprefix("_")


@lru_cache(maxsize=65_536)
def label_name(name: str) -> str:
    """Return the label name of an attribute, "" if nothing is left of it."""
    made = re.sub(r"[^a-zA-Z0-9]", "_", name)
    if made[:1].isdigit():
        made = f"key_{made}"
    elif made.startswith("_") and not made.startswith("__"):
        made = f"key{made}"
    return made if made.strip("_") else ""
