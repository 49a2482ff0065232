"""One line of an exposition: Prometheus's text format 0.0.4 and 1.0.0, and OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics. All functions take bytes and never raise; None is a line
that does not fit. Names may be quoted (``{"http.requests","path.x"="/"} 1``).
"""

import re
from typing import Final

from model.labels import METRIC_NAME

Pairs = tuple[tuple[str, str], ...]

# Possessive quantifiers: a line of garbage costs linear time.
_SERIES: Final = re.compile(
    rb"[ \t]*+(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+)?[ \t]*+"
    rb'(?:\{(?P<labels>(?:[^"}]++|"(?:[^"\\]++|\\.)*+")*+)\})?[ \t]*+',
    re.DOTALL,
)
_LABEL: Final = re.compile(
    rb"[ \t]*+(?:(?P<bare>[a-zA-Z_][a-zA-Z0-9_]*+)|"
    rb'"(?P<quoted>(?:[^"\\]++|\\.)*+)")[ \t]*+'
    rb'(?:=[ \t]*+"(?P<value>(?:[^"\\]++|\\.)*+)")?[ \t]*+(?:,|$)',
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "\\": "\\", '"': '"'}


def split_series(line: bytes) -> int:
    """Return where the series of a sample line ends and its value begins, 0 if there is no series."""
    found = _SERIES.match(line)
    if found is None or (found["name"] is None and found["labels"] is None):
        return 0
    end = found.end()
    # a name must be set off from the value; behind a closing brace the blank may be missing
    return end if line[end - 1 : end] in (b" ", b"\t", b"}") else 0


def parse_series(text: bytes) -> Pairs | None:
    """Return the label pairs of ``name{label="value"}``, the name as ``__name__``; in the order of the line."""
    found = _SERIES.fullmatch(text)
    if found is None:
        return None
    try:
        pairs = [] if found["name"] is None else [(METRIC_NAME, found["name"].decode())]
        labels = found["labels"]
        position = 0
        while labels and position < len(labels):
            label = _LABEL.match(labels, position)
            if label is None:
                if labels[position:].strip():
                    return None
                break
            position = label.end()
            name = label["bare"].decode() if label["bare"] else _unescaped(label["quoted"])
            if label["value"] is not None:
                pairs.append((name, _unescaped(label["value"])))
            elif label["quoted"] is not None and not pairs:
                pairs.append((METRIC_NAME, name))
            else:
                return None
    except UnicodeDecodeError:
        return None
    names = {name for name, _ in pairs}
    return tuple(pairs) if METRIC_NAME in names and len(names) == len(pairs) else None


def parse_value(rest: bytes, *, openmetrics: bool) -> tuple[float, int | None] | None:
    """Return the value and the timestamp in ms (None without one) of what follows a series.

    Exemplars (OpenMetrics) are left out. OpenMetrics gives timestamps in seconds, the text format
    in milliseconds.
    """
    if openmetrics:
        rest = rest.partition(b" # ")[0]
    words = rest.split()
    if not 1 <= len(words) <= 2 or b"_" in rest:
        return None
    try:
        value = float(words[0])
        if len(words) == 1:
            return value, None
        stamp = float(words[1]) * 1000 if openmetrics else int(words[1])
        return value, int(stamp)
    except (ValueError, OverflowError):
        return None


def parse_comment(line: bytes) -> tuple[str, str, str] | None:
    """Return (TYPE, HELP, UNIT or EOF, family, text) of a line that begins with ``#``; None for a remark."""
    words = line.split(None, 3)
    if len(words) < 2 or words[0] != b"#":
        return None
    kind = words[1].decode("ascii", "replace")
    if kind == "EOF" and len(words) == 2:
        return kind, "", ""
    if kind not in {"TYPE", "HELP", "UNIT"} or len(words) < 3:
        return None
    family = words[2].decode("utf-8", "replace").strip('"')
    text = words[3].decode("utf-8", "replace") if len(words) == 4 else ""
    return kind, family, _ESCAPE.sub(_replace, text) if kind == "HELP" else text.strip()


def _unescaped(text: bytes) -> str:
    plain = text.decode()
    return _ESCAPE.sub(_replace, plain) if "\\" in plain else plain


def _replace(found: re.Match[str]) -> str:
    return _ESCAPED.get(found[1], found[0])
