"""The rarer forms of times: syslog, klog, ctime, RFC 1123, Tomcat, Java's own, German, basic ISO 8601, time of day.

Each pattern names its parts; ``scalar`` puts them together. Times without a zone are UTC. What has
no year, or no date, is the last such moment before a time that the caller knows, and a day.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

NO_TIME: Final = -(1 << 63)
_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS: Final = {name: n for n, name in enumerate(_NAMES, 1)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_HEAD: Final = 64  # no time is longer

_MONTH = r"(?P<name>[A-Z][a-z]{2})[a-z]*"
_CLOCK = r"(?P<hour>\d\d?):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9})\d*)?"
# short names that are the same everywhere; CST and IST are not
_ZONE = r"(?:\s?(?P<zone>Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b))?"
_FORMS: Final = [
    re.compile(form)
    for form in (
        # klog and glog: I1122 10:00:00.123456
        rf"[IWEFDV](?P<month>\d\d)(?P<day>\d\d) {_CLOCK}",
        # RFC 3164, also with a year: Nov 22 10:00:00, Nov 22 2026 10:00:00, Nov 22, 2026 10:00:00 AM; after <13>
        rf"(?:<\d{{1,3}}>)?{_MONTH} +(?P<day>\d\d?),? (?:(?P<year>\d{{4}}),? )?{_CLOCK}(?: (?P<half>[AP]M)\b)?{_ZONE}",
        # RFC 1123, RFC 850: Sun, 22 Nov 2026 10:00:00 GMT
        rf"\[?[A-Z][a-z]{{2,8}}, (?P<day>\d\d?)[ -]{_MONTH}[ -](?P<year>\d{{4}}) {_CLOCK}{_ZONE}",
        # ctime, date(1), Apache's error log: Sun Nov 22 10:00:00.123456 UTC 2026
        rf"\[?[A-Z][a-z]{{2}} {_MONTH} +(?P<day>\d\d?) {_CLOCK}{_ZONE} (?P<year>\d{{4}})",
        # Tomcat, PHP, Redis: 22-Nov-2026 10:00:00.123, 22/Nov/2026:10:00:00 +0000, 22 Nov 2026 10:00:00
        rf"[\[(]?(?P<day>\d\d?)[-/ ]{_MONTH}[-/ ](?P<year>\d{{4}})[ :T]{_CLOCK}{_ZONE}",
        rf"\d+:[A-Z] (?P<day>\d\d?) {_MONTH} (?P<year>\d{{4}}) {_CLOCK}",
        # German: 22.11.2026 10:00:00
        rf"\[?(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{{4}})[ T]{_CLOCK}{_ZONE}",
        # 2026.11.22 10:00:00, 20261122 10:00:00, 20261122T100000Z, 261122 10:00:00 is nobody's any more
        rf"\[?(?P<year>\d{{4}})\.(?P<month>\d\d)\.(?P<day>\d\d)[ T]{_CLOCK}{_ZONE}",
        rf"\[?(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)[ T-]{_CLOCK}{_ZONE}",
        rf"\[?(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?:[.,](?P<fraction>\d{{1,9}})\d*)?{_ZONE}",
        # Airflow: 2026-11-22, 10:00:00 UTC
        rf"\[?(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d), {_CLOCK}{_ZONE}",
        # to the minute
        rf"\[?(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)[ T](?P<hour>\d\d):(?P<minute>\d\d)(?![\d:]){_ZONE}",
        # logback's default: 10:00:00.123
        r"\[?(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9})\d*)?(?=[\s\]|]|$)",
    )
]  # fmt: skip
_BY_LETTER: Final = _FORMS[:4]
_BY_DIGIT: Final = _FORMS[4:]
# what every form starts with; most lines without a time pay for this alone
_LIKELY: Final = re.compile(
    r"[\[(]?\d\d?[-/.: ]|[\[(]?\d{4}[-.\d]|\d+:[A-Z] |[IWEFDV]\d{4} |<\d{1,3}>"
    r"|\[?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? "
).match


def find(text: str) -> "re.Match[str] | None":
    """Return the time at the start of a text."""
    if not _LIKELY(text):
        return None
    head = text[:_HEAD]
    first = head.lstrip("[(<")[:1]
    if not first:
        return None
    forms = _FORMS if head[0] in "[(<" else _BY_DIGIT if first.isdigit() else _BY_LETTER
    return next((found for form in forms if (found := form.match(head))), None)


def scalar(text: str, near_ns: int) -> int:
    """Return the time at the start of a text in ns since the epoch, or ``NO_TIME``."""
    found = find(text)
    if found is None:
        return NO_TIME
    parts = found.groupdict()
    try:
        return _moment(parts, near_ns)
    except (ValueError, KeyError, OverflowError):
        return NO_TIME


def _moment(parts: dict[str, str | None], near_ns: int) -> int:
    near = _EPOCH + timedelta(microseconds=near_ns // 1_000)
    hour = int(parts["hour"] or 0)
    if parts.get("half"):
        hour = hour % 12 + (12 if parts["half"] == "PM" else 0)
    name = parts.get("name")
    month = _MONTHS[name.lower()] if name else int(parts.get("month") or 0)
    year = parts.get("year")
    if not near_ns and not (year and month):
        return NO_TIME
    if not month:
        moment = near.replace(hour=hour, minute=int(parts["minute"] or 0), second=_second(parts), microsecond=0)  # fmt: skip
        if moment - near > _DAY / 2:
            moment -= _DAY
        elif near - moment > _DAY / 2:
            moment += _DAY
    else:
        clock = (int(parts["day"] or 0), hour, int(parts["minute"] or 0), _second(parts))
        if year:
            moment = datetime(int(year), month, *clock, tzinfo=UTC)
        else:
            years = [y for y in (near.year - 1, near.year, near.year + 1) if month != 2 or clock[0] != 29 or _leap(y)]  # fmt: skip
            moments = [datetime(y, month, *clock, tzinfo=UTC) for y in years]
            moment = max((m for m in moments if m - near <= _DAY), default=moments[0])
    zone = parts.get("zone")
    if zone and zone[0] in "+-":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        moment -= offset if zone[0] == "+" else -offset
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if not 0 <= seconds < 9_200_000_000:
        return NO_TIME // 2
    return seconds * 1_000_000_000 + int((parts.get("fraction") or "0").ljust(9, "0"))


def _second(parts: dict[str, str | None]) -> int:
    return min(int(parts["second"] or 0) if "second" in parts else 0, 59)


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
