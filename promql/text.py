r"""Texts as Go writes and reads them: quoted strings, numbers and durations.

Prometheus's printer, error texts and ``count_values`` show Go's formats, and people compare them.
Bytes that are not UTF-8 (``"\xff"``) live in our strings as lone surrogates (``surrogateescape``).
"""

import math
import re
from decimal import Decimal
from typing import Final

from model.labels import Labels

_SIMPLE_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_QUOTED: Final = {v: "\\" + k for k, v in _SIMPLE_ESCAPES.items() if k != "'"}
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_DURATION_PART: Final = re.compile(r"([0-9]+)([^0-9]+)")
_UNITS_MS: Final = (
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
)
_EXPONENT_FROM: Final = 6
_UNIT_NAMES: Final = [name for name, _ in _UNITS_MS]
_PLAIN_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
MAX_DURATION_MS: Final = (2**63 - 1) // 1_000_000


def quote(text: str) -> str:
    """Write a string in double quotes with Go's escapes."""
    out = []
    for char in text:
        code = ord(char)
        if char in _QUOTED:
            out.append(_QUOTED[char])
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        elif char.isprintable() or code < 0x7F:
            out.append(char)
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def unquote(literal: str) -> str:
    """Read a string literal, quotes included, that the lexer let pass."""
    body = literal[1:-1]
    if literal[0] == "`":
        return body
    if "\\" not in body:
        return body
    text = _ESCAPE.sub(_unescape, body)
    # bytes written one by one may form a character together
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[str]) -> str:
    hexa, octal, short, long, simple = match.groups()
    if simple is not None:
        return _SIMPLE_ESCAPES[simple]
    if short or long:
        return chr(int(short or long, 16))
    byte = int(hexa, 16) if hexa else int(octal, 8)
    return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)


def is_utf8(text: str) -> bool:
    """Tell whether a string has no stray bytes in it."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def parse_number(text: str) -> float:
    """Read a number literal: decimal, hexadecimal, octal (leading 0), with exponent, ``Inf``, ``NaN``.

    Raises:
        ValueError: If it is none; worded as Go does.
    """
    plain = text.lower().replace("_", "")
    if plain in ("inf", "nan"):
        return float(plain)
    invalid = f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax"
    if text.endswith("_"):
        raise ValueError(invalid)
    octal = re.fullmatch(r"0[0-7]+", plain)
    if plain.startswith("0x") or octal:
        try:
            value = int(plain, 8 if octal else 16)
        except ValueError:
            raise ValueError(invalid) from None
        if value < 2**63:
            return float(value)
        if not octal:  # as a float it would need an exponent
            raise ValueError(invalid)
    try:
        number = float(plain)
    except ValueError:
        raise ValueError(invalid) from None
    if math.isinf(number):
        message = f"strconv.ParseFloat: parsing {quote(text)}: value out of range"
        raise ValueError(message)
    return number


def parse_duration_ms(text: str) -> int:
    """Read ``1h30m``.

    Raises:
        ValueError: If it is no duration; worded as Prometheus does.
    """
    if text == "0":
        return 0
    if not text:
        raise ValueError("empty duration string")
    invalid = f"not a valid duration string: {quote(text)}"
    total, last, at = 0, -1, 0
    while at < len(text):
        match = _DURATION_PART.match(text, at)
        if match is None or int(match[1]) >= 2**64:
            raise ValueError(invalid)
        if match[2] not in _UNIT_NAMES:
            raise ValueError(f"unknown unit {quote(match[2])} in duration {quote(text)}")
        unit = _UNIT_NAMES.index(match[2])
        if unit <= last:  # from the largest to the smallest
            raise ValueError(invalid)
        total += int(match[1]) * _UNITS_MS[unit][1]
        if total > MAX_DURATION_MS:
            raise ValueError("duration out of range")
        last, at = unit, match.end()
    return total


def format_duration(ms: int) -> str:
    """Write a duration, not negative, as Prometheus does: years and weeks only where they are exact."""
    if ms == 0:
        return "0s"
    out = []
    for unit, size in _UNITS_MS:
        if unit in ("y", "w") and ms % size:
            continue
        count, ms = divmod(ms, size)
        if count:
            out.append(f"{count}{unit}")
    return "".join(out)


def format_float(value: float) -> str:
    """Write a number in its shortest form without an exponent (Go's ``'f', -1``)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(float(value))), "f")
    return text.removesuffix(".0")


def format_g(value: float) -> str:
    """Write a number as Go's ``%g``: shortest digits, an exponent below 1e-4 and from 1e6 on."""
    if math.isnan(value) or math.isinf(value):
        return format_float(value)
    digits = Decimal(repr(float(value)))
    exponent = digits.adjusted() if value else 0
    if -5 < exponent < _EXPONENT_FROM:
        return format_float(value)
    sign, figures, _ = digits.as_tuple()
    text = "".join(map(str, figures)).rstrip("0") or "0"
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def metric_text(labels: Labels) -> str:
    """Write a label set as error texts do: ``{__name__="up", job="a"}``."""
    pairs = (
        f"{name if _PLAIN_NAME.fullmatch(name) else quote(name)}={quote(value)}"
        for name, value in labels
    )
    return "{" + ", ".join(pairs) + "}"


def position(text: str, offset: int) -> str:
    """Return ``line:column`` of an offset, from 1; columns count bytes as Prometheus's do."""
    if not text:
        return "unknown position"
    line = text.count("\n", 0, offset) + 1
    start = text.rfind("\n", 0, offset) + 1
    return f"{line}:{len(text[start:offset].encode('utf-8', 'surrogateescape')) + 1}"
