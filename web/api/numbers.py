"""Numbers as Prometheus's API prints them, made from arrays without a Python loop over points.

Values follow Go's ``strconv.FormatFloat``: plain decimals for 1e-6 <= |v| < 1e21, else an
exponent of at least two digits (prometheus/prometheus util/jsonutil/marshal.go). The work is
orjson's; what it writes differently is patched in the text, and only where an array holds such values.
"""

import re
from typing import Final

import numpy as np
import orjson

from model.samples import Bools, Floats, Ints

_NEGATIVE_EXPONENT = re.compile(rb"e-(\d)(?=,)")
_MICRO = re.compile(rb"(-?)(\d)(?:\.(\d+))?e-6(?=,)")
_POSITIVE_EXPONENT = re.compile(rb"(-?)(\d)(?:\.(\d+))?e\+?(\d+)(?=,)")
_FRACTIONS: Final = [b"", *(b".%03d" % ms for ms in range(1, 1000))]
_FEW: Final = 16
_PLAIN_LIMIT: Final = 1e16  # orjson writes an exponent from here on
_EXACT_LIMIT: Final = 2.0**53
_EXPONENT_FROM: Final = 21  # Go does from here on


def go_floats(values: Floats) -> list[bytes]:
    """Return each value of a flat array as Go prints it, without quotes."""
    if not values.size:
        return []
    numbers = go_text(values)[:-1].split(b",")
    infinite = np.isinf(values)
    if infinite.any():
        column = np.array(numbers, dtype=object)
        column[infinite & (values > 0)] = b"+Inf"
        column[infinite & (values < 0)] = b"-Inf"
        numbers = column.tolist()
    return numbers


def go_text(values: Floats) -> bytes:
    """Return the values of a flat array as Go prints them, each with a comma behind; infinite ones as NaN."""
    flat = np.ascontiguousarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # markers are signalling NaNs
        whole = np.trunc(flat) == flat
    magnitude = np.abs(flat)
    if (
        whole.all()
        and magnitude.max(initial=0.0) < _EXACT_LIMIT
        and not (np.signbit(flat) & (flat == 0)).any()
    ):
        return _dumped(flat.astype(np.int64))
    # whole numbers come as "3.0": few of them are written apart, as to look for many dots takes long
    odd = (whole & (magnitude < _PLAIN_LIMIT)) | ~np.isfinite(flat)
    few = np.count_nonzero(odd) <= flat.size // _FEW
    text = _spliced(flat, odd) if few and odd.any() else _plain(flat)
    if ((magnitude < 1e-5) & (magnitude > 0)).any():
        text = _MICRO.sub(rb"\g<1>0.00000\2\3", text)
        text = _NEGATIVE_EXPONENT.sub(rb"e-0\1", text)
    if (np.isfinite(flat) & (magnitude >= _PLAIN_LIMIT)).any():
        text = _POSITIVE_EXPONENT.sub(_positive_exponent, text)
    return text


def _plain(flat: Floats) -> bytes:
    return _dumped(flat).replace(b".0,", b",").replace(b"null", b"NaN")


def _spliced(flat: Floats, odd: Bools) -> bytes:
    """Return the same; of the numbers only the odd ones are looked at."""
    pieces = _dumped(np.where(odd, np.nan, flat)).split(b"null")
    texts = _plain(flat[odd]).split(b",")[:-1]
    out = [b""] * (2 * len(texts) + 1)
    out[0::2] = pieces
    out[1::2] = texts
    return b"".join(out)


def _dumped(flat: Floats | Ints) -> bytes:
    return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] + b","


def _positive_exponent(match: re.Match[bytes]) -> bytes:
    sign, first, rest, exponent = match.groups(default=b"")
    power = int(exponent)
    if power >= _EXPONENT_FROM:
        return sign + first + (b"." + rest if rest else b"") + b"e+%d" % power
    return sign + first + rest.ljust(power, b"0")


def go_float(value: float) -> str:
    """Return one value as Go prints it."""
    return go_floats(np.array([value], dtype=np.float64))[0].decode()


def timestamps(ts_ms: Ints) -> list[bytes]:
    """Return times in ms as seconds; a fraction has three digits, whole seconds have none."""
    if not ts_ms.size:
        return []
    whole, fraction = np.divmod(np.abs(ts_ms), 1000)
    seconds = orjson.dumps(
        np.ascontiguousarray(whole, dtype=np.int64), option=orjson.OPT_SERIALIZE_NUMPY
    )[1:-1].split(b",")
    texts = list(map(bytes.__add__, seconds, map(_FRACTIONS.__getitem__, fraction.tolist())))
    negative = ts_ms < 0
    if negative.any():
        column = np.array(texts, dtype=object)
        column[negative] = b"-" + column[negative]
        texts = column.tolist()
    return texts


def go_number(value: float) -> float | int:
    """Return a number that JSON shows as Go does: whole ones without a fraction."""
    return int(value) if value.is_integer() else value


def go_duration(ns: int) -> str:
    """Return a length of time as Go prints it: ``1h0m0s``, ``1.5s``, ``20ms``, ``0s``."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if ns < size * 1000:
            return f"{sign}{_decimal(ns, size)}{unit}" if ns else "0s"
    minutes, rest = divmod(ns, 60 * 1_000_000_000)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}" if not hours else f"{hours}h{minutes}m{text}"
    return sign + text


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    digits = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
