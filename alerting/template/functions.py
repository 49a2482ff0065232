"""The functions of templates: Go's own and those Prometheus adds (prometheus template/template.go)."""

import operator
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

from alerting.template.humanize import (
    humanize,
    humanize_1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
)
from alerting.template.printf import printf, show
from configfile.pattern import compile_pattern


def truth(value: Any) -> bool:
    """Tell what Go's ``if`` makes of a value: false, 0, "" and empty maps are false."""
    return bool(value)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise TypeError("missing argument for comparison")
    return any(_comparable(first, other) and first == other for other in others)


def _comparable(a: Any, b: Any) -> bool:
    if isinstance(a, str) != isinstance(b, str):
        raise TypeError("incompatible types for comparison")
    return True


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


def _strip_port(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        return address  # as Go's net.SplitHostPort would refuse it
    return host.strip("[]")


def _strip_domain(address: str) -> str:
    host = _strip_port(address)
    if ":" in host or host.replace(".", "").isdigit():
        return address  # an IP address has no domain
    return host.split(".")[0] + address[len(host) :]


def _title(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _matches(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).search(text) is not None


def _replace(pattern: str, replacement: str, text: str) -> str:
    # Go writes groups as $1 or ${1}, re2's Python as \1
    python = re.sub(r"\$\{?(\d+)\}?", r"\\\1", replacement.replace("\\", "\\\\"))
    return str(compile_pattern(pattern).sub(python, text))


def _length(value: Any) -> int:
    return len(value.encode()) if isinstance(value, str) else len(value)


def _print(*values: Any) -> str:
    """Join as Go's Sprint: with a space between two values neither of which is a string."""
    out = []
    for position, value in enumerate(values):
        between = (
            position and not isinstance(value, str) and not isinstance(values[position - 1], str)
        )
        out.append((" " if between else "") + show(value))
    return "".join(out)


def _order(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda a, b: _comparable(a, b) and compare(a, b)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "eq": _eq,
    "ne": lambda a, b: not _eq(a, b),
    "lt": _order(operator.lt),
    "le": _order(operator.le),
    "gt": _order(operator.gt),
    "ge": _order(operator.ge),
    "index": _index,
    "len": _length,
    "print": _print,
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "printf": printf,
    "urlquery": lambda *values: urllib.parse.quote_plus(_print(*values)),
    "title": _title,
    "toUpper": str.upper,
    "toLower": str.lower,
    "match": _matches,
    "reReplaceAll": _replace,
    "stripPort": _strip_port,
    "stripDomain": _strip_domain,
    "humanize": humanize,
    "humanize1024": humanize_1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
    "humanizeTimestamp": humanize_timestamp,
}
