"""Times as logs write them, to nanoseconds since the epoch.

``column`` reads many texts at once with numpy: quickest where they are of one day and one form, as
in a run of lines; what does not have the common ISO 8601 shape goes through ``scalar``, one by
one. Times without a zone are UTC. Nothing raises: ``NO_TIME`` says
that a text is no usable time.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from logship.parse import other_forms
from model.samples import Ints

NO_TIME: Final = other_forms.NO_TIME
EARLIEST_NS: Final = (
    946_684_800_000_000_000  # 2000-01-01: what is older is a clock that was never set
)
FEW: Final = 8  # below this numpy's calls cost more than they save
WIDTH: Final = 30  # "2026-01-01T00:00:00.123456789Z"

_OPENING = "[(<"
_ISO = re.compile(
    r"[\[(<]?(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(?:\s?(Z|[+-]\d\d(?::?\d\d)?(?![\d.-])))?"
)
# the form that most loggers write; what follows may be no other zone than Z
_FORM = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|(?![\d.,:+Z-])(?! [+-]).{2})"
)
_SLASHED = re.compile(
    r"[\[(]?(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d:?\d\d)?"
)
# Apache's common log format, anywhere in the line: [22/Nov/2026:10:00:00 +0000]
_CLF = re.compile(r"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\]")
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: n for n, name in enumerate(_NAMES, 1)}  # fmt: skip
_NUMBER = re.compile(r"\d{9,19}(?:\.\d+)?(?:[eE][+]?\d+)?")

_DIGITS = frozenset("0123456789")
_DIGITS_AT = np.array([0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18])
_SIGNS = np.frombuffer(b"+-", dtype=np.uint8)
_POINT, _Z = b".Z"
_NO_TIME_STARTS = frozenset(("", " ", "\t"))
_CLOCK_NS = np.array([36_000, 3_600, 600, 60, 10, 1]) * 1_000_000_000
_DAY_NS = np.concatenate((_CLOCK_NS, 10 ** np.arange(8, -1, -1, dtype=np.int64))).astype(np.float64)
_CLOCK_MAX = np.array([23, 59, 59], dtype=np.uint8)
_FRACTION = 10 ** np.arange(8, -1, -1, dtype=np.int64)


def column(texts: Sequence[str], near_ns: int = 0) -> Ints:
    """Return the time at the start of each text, int64 shape (n,), ``NO_TIME`` where there is none; see ``scalar``."""
    if len(texts) < FEW:
        return np.array([scalar(text, near_ns) for text in texts], dtype=np.int64)
    read = _same_form(texts)
    if read is not None:
        return read
    rows = [row for row, text in enumerate(texts) if text[:1] not in _NO_TIME_STARTS]
    if len(rows) < len(texts):  # frames of a trace, mostly
        times = np.full(len(texts), NO_TIME)
        times[rows] = column([texts[row] for row in rows], near_ns)
        return times
    try:
        raw = np.array([text[:WIDTH] for text in texts], dtype=f"S{WIDTH}")
    except (UnicodeEncodeError, ValueError):
        return np.array([scalar(text, near_ns) for text in texts], dtype=np.int64)
    chars = raw.view(np.uint8).reshape(len(texts), WIDTH)
    times, common = _iso(chars)
    for row in np.flatnonzero(~common).tolist():
        times[row] = scalar(texts[row], near_ns)
    return times


def leading(text: str) -> "re.Match[str] | None":
    """Return the time at the start of a text, if it has one of the two most usual forms."""
    return _ISO.match(text) or _SLASHED.match(text)


def leading_form(text: str) -> tuple[int, int]:
    """Return how long the time is that a text starts with, and with what shows its form; 0 for none of the usual forms."""
    found, form = _ISO.match(text), _FORM.match(text)
    if found is None or form is None or not found.end() <= form.end() <= found.end() + 2:
        return 0, 0
    return found.end(), form.end()


def leads(texts: Sequence[str], near_ns: int) -> tuple[Ints, int]:
    """Return ``column`` and, if all texts start with times of one form, how long these are, else 0."""
    width, form = leading_form(texts[0])
    if not form or len(texts) < FEW:
        found = _ISO.match(texts[0])
        return column(texts, near_ns), _common_width(texts, found.end() if found else 0)
    read = _of_heads([text[:form] for text in texts], form)
    if read is None or _goes_on(texts, width):
        return column(texts, near_ns), _common_width(texts, width)
    return read, width


def _common_width(texts: Sequence[str], width: int) -> int:
    raw = "".join([text[:width] for text in texts])
    if not width or len(raw) != width * len(texts) or not raw.isascii():
        return 0
    chars = np.frombuffer(raw.encode(), dtype=np.uint8).reshape(len(texts), width)
    digits = chars[0] - np.uint8(48) <= 9
    same = (chars[:, ~digits] == chars[0, ~digits]).all() and (chars[:, digits] - np.uint8(48) <= 9).all()  # fmt: skip
    return width if same and not _goes_on(texts, width) else 0


def _goes_on(texts: Sequence[str], width: int) -> bool:
    """Tell whether a time goes on behind its width: 12:00:00.15 among 12:00:00.1."""
    return not _DIGITS.isdisjoint([text[width : width + 1] for text in texts])


def _same_form(texts: Sequence[str]) -> Ints | None:
    """Read times that differ only in the digits of their time of day, or return None."""
    form = _FORM.match(texts[0])
    if form is None:
        return None
    return _of_heads([text[: form.end()] for text in texts], form.end())


def _of_heads(heads: Sequence[str], width: int) -> Ints | None:
    raw = "".join(heads)
    if len(raw) != width * len(heads) or not raw.isascii() or min(map(len, heads)) < width:
        return None
    return same_form(np.frombuffer(raw.encode(), dtype=np.uint8).reshape(len(heads), width))


def same_form(chars: npt.NDArray[np.uint8]) -> Ints | None:
    """Read times that differ only in the digits of their time of day, given as characters, shape (n, width), or return None."""
    raw = chars[0].tobytes().decode("latin-1")
    form = _FORM.match(raw)
    if form is None:
        return None
    width = form.end()
    zulu = raw[width - 1] == "Z"
    end = width - (1 if zulu else 2)  # of the digits
    at = [11, 12, 14, 15, 17, 18, *range(20, end)]
    fixed = [*range(11), 13, 16, end, *([19] if end > 19 else [])]
    digits = chars[:, at] - np.uint8(48)
    clock = digits[:, 0:6:2] * np.uint8(10) + digits[:, 1:6:2]
    if (digits > 9).any() or (clock > _CLOCK_MAX).any() or (chars[:, fixed] != chars[0, fixed]).any():  # fmt: skip
        return None
    if not zulu and raw[end] == " " and np.isin(chars[:, end + 1], _SIGNS).any():
        return None
    midnight = scalar(raw[:10] + "T00:00:00Z")
    if midnight < 0:
        return None
    # a day has fewer nanoseconds than float64 has whole numbers, and floats are multiplied in blocks
    since = digits.astype(np.float64) @ _DAY_NS[: digits.shape[1]]
    times: Ints = midnight + since.astype(np.int64)
    return times


def padded(chars: npt.NDArray[np.uint8]) -> Ints | None:
    """Read times as Go writes them (RFC 3339 in UTC, no zeros at the end), filled up with NUL, shape (n, width), or return None.

    They may differ in the digits of their time of day only.
    """
    size, width = chars.shape
    if not 20 <= width <= WIDTH:
        return None
    zeros = np.frombuffer(b"0", dtype=np.uint8)
    rows = np.empty((size, WIDTH), dtype=np.uint8)
    rows[:] = zeros
    rows[:, :width] = chars
    ends = (chars != 0).sum(axis=1) - 1  # where each time has its Z
    if (chars[np.arange(size), ends] != _Z).any() or (ends < 19).any():
        return None
    rows[:, 19:][np.arange(19, WIDTH) >= ends[:, None]] = zeros
    rows[:, 19] = _POINT
    rows[:, WIDTH - 1] = _Z
    return same_form(rows)


def _iso(chars: npt.NDArray[np.uint8]) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Read ``dddd-dd-dd[T ]dd:dd:dd[.,]d*`` with no zone or Z; the mask says which rows have that shape."""
    digits = chars[:, _DIGITS_AT].astype(np.int64) - 48
    shape = (
        ((digits >= 0) & (digits <= 9)).all(axis=1)
        & (chars[:, 4] == ord("-"))
        & (chars[:, 7] == ord("-"))
        & ((chars[:, 10] == ord("T")) | (chars[:, 10] == ord(" ")))
        & (chars[:, 13] == ord(":"))
        & (chars[:, 16] == ord(":"))
    )
    year = digits[:, :4] @ np.array([1000, 100, 10, 1])
    two = digits[:, 4::2] * 10 + digits[:, 5::2]
    month, day, hour, minute, second = two.T
    has_fraction = (chars[:, 19] == ord(".")) | (chars[:, 19] == ord(","))
    fraction = chars[:, 20:29].astype(np.int64) - 48
    good = ((fraction >= 0) & (fraction <= 9)) & has_fraction[:, None]
    count = np.cumprod(good, axis=1).sum(axis=1)
    nanos = (np.where(np.arange(9) < count[:, None], fraction, 0) * _FRACTION[: fraction.shape[1]]).sum(axis=1)  # fmt: skip
    after = np.take_along_axis(chars, np.where(has_fraction, 20 + count, 19)[:, None], axis=1)[:, 0]
    shape &= ~np.isin(after, np.frombuffer(b"+-0123456789", dtype=np.uint8))
    # a zone may follow a space ("10:00:00 +0200"); the scalar reader knows
    following = np.minimum(np.where(has_fraction, 20 + count, 19) + 1, chars.shape[1] - 1)
    zone = np.take_along_axis(chars, following[:, None], axis=1)[:, 0]
    shape &= ~((after == ord(" ")) & ((zone == ord("+")) | (zone == ord("-"))))
    shape &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= _days_in(year, month))
    shape &= (hour < 24) & (minute < 60) & (second <= 60) & (year >= 1970) & (year < 2262)
    times = (_days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000_000
    return np.where(shape, times + nanos, NO_TIME), shape


def _days(year: Ints, month: Ints, day: Ints) -> Ints:
    """Days since the epoch (howardhinnant.github.io/date_algorithms.html, days_from_civil)."""
    y = year - (month <= 2)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days: Ints = era * 146_097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719_468
    return days


def _days_in(year: Ints, month: Ints) -> Ints:
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days: Ints = lengths[np.clip(month, 1, 12) - 1] + leap
    return days


def scalar(text: str, near_ns: int = 0) -> int:
    """Return the time that a text starts with (or is, as a number since the epoch), or ``NO_TIME``.

    A time without a year or a date (syslog, klog, ``10:00:00``) is the one nearest to ``near_ns``,
    and none if that is 0.
    """
    head = text[:1]
    found = (
        (_ISO.match(text) or _SLASHED.match(text)) if head.isdigit() or head in _OPENING else None
    )
    try:
        if found:
            year, month, day, hour, minute, second, fraction, zone = found.groups()
            moment = datetime(
                int(year), int(month), int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC
            )  # fmt: skip
            return _ns(moment - _zone(zone)) + int((fraction or "0").ljust(9, "0"))
        found = _CLF.search(text[:128]) if "[" in text else None
        if found:
            day, name, year, hour, minute, second, zone = found.groups()
            moment = datetime(
                int(year), _MONTHS[name], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC
            )  # fmt: skip
            return _ns(moment - _zone(zone))
        if _NUMBER.fullmatch(text):
            return _number(text)
    except (ValueError, KeyError, OverflowError):
        return NO_TIME
    return other_forms.scalar(text, near_ns) if head.isalnum() or head in _OPENING else NO_TIME


def _number(text: str) -> int:
    """Read seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart by size."""
    whole, dot, fraction = text.partition(".")
    if dot and len(whole) == 10 and fraction.isdigit():
        return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    value = float(text)
    for limit, scale in ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000), (9.2e18, 1)):
        if value < limit:
            exact = int(whole) if not dot and whole.isdigit() else value
            return int(exact * scale)
    return NO_TIME


def _ns(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = delta.days * 86_400 + delta.seconds
    return seconds * 1_000_000_000 if 0 <= seconds < 9_200_000_000 else NO_TIME // 2


def _zone(text: str | None) -> timedelta:
    if not text or text == "Z":
        return timedelta(0)
    minutes = int(text[1:3]) * 60 + (int(text[-2:]) if len(text) > 3 else 0)
    return timedelta(minutes=-minutes if text[0] == "-" else minutes)


def usable(times: Ints, read_ns: int) -> npt.NDArray[np.bool_]:
    """Tell which times can be meant: from 2000 until a day after now."""
    return (times >= EARLIEST_NS) & (times <= read_ns + 86_400_000_000_000)
