"""Reads Prometheus's test scripts; the notation is described beside them (promqltest/README.md)."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from model.histogram.resets import is_reset
from model.labels import Labels
from model.samples import STALE
from promql.text import parse_duration_ms, unquote
from tests.promql.columns import ColumnStore, Sample
from tests.promql.histograms import Hist, add, parse_histogram, to_pool

Value = np.float64 | Hist | None

_SERIES_NAME = re.compile(r"[^\W\d][\w.:]*|:[\w.:]*")
_STRING = r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`'
_LABEL = re.compile(rf"\s*({_STRING}|[\w.]+)\s*(?:=\s*({_STRING}))?\s*,?\s*")
_HIST = r"\{\{.*?\}\}"
_ITEM = re.compile(rf"({_HIST})(?:([+-])({_HIST}))?(?:x(\d+))?|(\S+)")
_NUMBER = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[iI]nf|[nN]a[nN])"
_PLAIN = re.compile(rf"({_NUMBER}|stale|_)(?:([+-])({_NUMBER[5:]}))?(?:x(\d+))?")
_START = re.compile(r"(_|[+-]?[0-9a-z]+?)(?:([+-])([0-9a-z]+?))?(?:x(\d+))?")


class Case(Struct):
    """One eval command."""

    line: int
    text: str
    query: str
    start_ms: int
    end_ms: int = 0
    step_ms: int = 0
    is_range: bool = False
    ordered: bool = False
    fail: bool = False
    fail_text: str | None = None
    fail_regex: str | None = None
    notes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    string: str | None = None
    vector_range: tuple[int, int, int] | None = None
    scalar: float | None = None
    series: list[tuple[Labels, list[Value]]] = field(default_factory=list)

    @property
    def has_histogram(self) -> bool:
        """Whether a histogram literal occurs in what is expected."""
        return "{{" in self.text


class Block(Struct):
    """A store's content as loaded so far, and a case to be run on it."""

    case: Case
    store: ColumnStore
    histograms: bool


def time_ms(text: str) -> int:
    """Read a time of a script; seconds without a unit."""
    if text.isdigit():
        return int(text) * 1000
    sign = -1 if text.startswith("-") else 1
    return sign * parse_duration_ms(text.lstrip("+-"))


def parse_series(text: str) -> tuple[Labels, str]:
    """Cut a line into a series and the rest."""
    pairs: dict[str, str] = {}
    name = _SERIES_NAME.match(text)
    rest = text[name.end() :] if name else text
    if name:
        pairs["__name__"] = name.group()
    rest = rest.lstrip()
    if rest.startswith("{") and not rest.startswith("{{"):
        at = 1
        while rest[at:].lstrip()[:1] != "}":
            found = _LABEL.match(rest, at)
            assert found is not None, text
            key, value = found.groups()
            key = unquote(key) if key[0] in "\"'`" else key
            if value is None:
                pairs["__name__"] = key
            else:
                pairs[key] = unquote(value)
            at = found.end()
        rest = rest[rest.index("}", at) + 1 :]
    return Labels.of(pairs), rest.strip()


def _float(text: str) -> np.float64:
    if text == "stale":
        stale: np.float64 = STALE[0]
        return stale
    return np.float64(text)


def parse_values(text: str) -> list[Value]:
    """Expand the values of a series, None for no sample."""
    out: list[Value] = []
    for hist, sign, step, times, plain in _ITEM.findall(text):
        if hist:
            out += _histograms(hist, sign, step, int(times or 0))
            continue
        found = _PLAIN.fullmatch(plain)
        assert found is not None, plain
        base, by, more, count = found.groups()
        if base == "_":
            out += [None] * int(count or 1)
            continue
        value = _float(base)
        out.append(value)
        for _ in range(int(count or 0)):
            if more:
                value = value + np.float64(more) * (1 if by == "+" else -1)
            out.append(value)
    return out


def _histograms(hist: str, sign: str, step: str, times: int) -> list[Value]:
    value = parse_histogram(hist[2:-2])
    out: list[Value] = [value]
    more = parse_histogram(step[2:-2]) if step else None
    for _ in range(times):
        if more is not None:
            value = add(value, more, 1.0 if sign == "+" else -1.0)
        out.append(value)
    return out


def parse_starts(text: str) -> list[int | None]:
    """Expand start timestamps, as offsets in ms."""
    out: list[int | None] = []
    for item in text.split():
        found = _START.fullmatch(item)
        assert found is not None, item
        base, sign, step, times = found.groups()
        if base == "_":
            out += [None] * int(times or 1)
            continue
        value = time_ms(base)
        out.append(value)
        for _ in range(int(times or 0)):
            value += (time_ms(step) * (1 if sign == "+" else -1)) if step else 0
            out.append(value)
    return out


def commands(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each command's first line number and its lines."""
    held: list[str] = []
    first = 0
    for number, raw in enumerate([*path.read_text().splitlines(), ""], 1):
        line = raw.strip()
        if line and not line.startswith("#"):
            first = first or number
            held.append(line)
        elif held:
            yield first, held
            held, first = [], 0


def blocks(path: Path) -> Iterator[Block]:
    """Yield every case of a script with the store it sees."""
    store = ColumnStore()
    histograms = False
    for line, held in commands(path):
        word = held[0].split()[0]
        if word == "clear":
            store, histograms = ColumnStore(), False
        elif word.startswith("load"):
            histograms |= any("{{" in text for text in held) or word == "load_with_nhcb"
            load(store, held)
        else:
            yield Block(parse_case(line, held), store, histograms)


def load(store: ColumnStore, lines: list[str]) -> None:
    """Run a load command."""
    word, interval = lines[0].split()
    step = time_ms(interval)
    starts: list[int | None] = []
    loaded: dict[Labels, list[Value]] = {}
    for line in lines[1:]:
        head, at, rest = line.partition("@st")
        if at and "{{" not in head:
            starts = parse_starts(rest.strip())
            continue
        labels, rest = parse_series(line)
        values = parse_values(rest)
        loaded[labels] = values
        for i, value in enumerate(values):
            if value is None:
                continue
            offset = starts[i] if i < len(starts) else None
            start = 0 if offset is None else i * step + offset
            store.put(labels, i * step, Sample(value, start))
        starts = []
    if word == "load_with_nhcb":
        _load_custom(store, loaded, step)
    for series in store.samples.values():
        _set_hints(series)


def _load_custom(store: ColumnStore, loaded: dict[Labels, list[Value]], step: int) -> None:
    """Build native histograms with custom buckets from the classic ones of one load."""
    found: dict[Labels, dict[int, dict[str, dict[float, float]]]] = {}
    for labels, values in loaded.items():
        name = labels.get("__name__")
        kind = next((s for s in ("_bucket", "_count", "_sum") if name.endswith(s)), "")
        if not kind or (kind == "_bucket" and not labels.get("le")):
            continue
        base = labels.asdict()
        bound = float(base.pop("le", "inf").replace("Inf", "inf"))
        base["__name__"] = name.removesuffix(kind)
        series = found.setdefault(Labels.of(base), {})
        for i, value in enumerate(values):
            if isinstance(value, np.float64):
                series.setdefault(i, {}).setdefault(kind, {})[bound] = float(value)
    for labels, times in found.items():
        for i, parts in times.items():
            counts = sorted(parts.get("_bucket", {}).items())
            total = next(iter(parts.get("_count", {}).values()), counts[-1][1] if counts else 0.0)
            if not counts or counts[-1][0] != np.inf:
                counts.append((np.inf, total))
            own = np.diff([0.0, *(count for _, count in counts)]).tolist()
            hist = Hist(
                schema=-53,
                count=total,
                sum=next(iter(parts.get("_sum", {}).values()), 0.0),
                positive=dict(enumerate(own)),
                bounds=tuple(bound for bound, _ in counts if bound != np.inf),
            )
            store.put(labels, i * step, Sample(hist))


def _set_hints(series: dict[int, Sample]) -> None:
    """Give histograms the counter reset hints that a store gives them."""
    previous: Hist | None = None
    for t in sorted(series):
        value = series[t].value
        if not isinstance(value, Hist):
            previous = None
            continue
        if value.hint != "gauge" and not (value.hint == "reset" and value.hint_set):
            hint = "unknown" if previous is None else _hint_after(previous, value)
            series[t] = replace(series[t], value=replace(value, hint=hint))
        previous = value


def _hint_after(previous: Hist, value: Hist) -> str:
    plain = (replace(h, hint="unknown") for h in (value, previous))
    return "reset" if is_reset(*(to_pool([h]) for h in plain))[0] else "not_reset"


_INSTANT = re.compile(r"eval(?:_\w+)?\s+instant\s+(?:at\s+(\S+))?\s+(.+)")
_RANGE = re.compile(r"eval(?:_\w+)?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)")


def parse_case(line: int, lines: list[str]) -> Case:
    """Read an eval command."""
    head, text = lines[0], "\n".join(lines)
    if found := _RANGE.fullmatch(head):
        start, end, step, query = found.groups()
        case = Case(line, text, query, time_ms(start), time_ms(end), time_ms(step), True)
    else:
        found = _INSTANT.fullmatch(head)
        assert found is not None, head
        at, query = found.groups()
        case = Case(line, text, query, time_ms(at or "0"))
    word = head.split()[0]
    case.fail, case.ordered = word == "eval_fail", word == "eval_ordered"
    for kind in ("warn", "info"):
        if word == f"eval_{kind}":
            case.notes[kind] = []
    for rest in lines[1:]:
        _expectation(case, rest)
    return case


def _expectation(case: Case, line: str) -> None:
    if line.startswith(("expected_fail_message", "expected_fail_regexp")):
        key, text = line.split(maxsplit=1)
        case.fail = True
        case.fail_text, case.fail_regex = (text, None) if "message" in key else (None, text)
        return
    if not line.startswith("expect "):
        _expected_value(case, line)
        return
    found = re.fullmatch(r"expect\s+(\w+)\s*(.*)", line)
    assert found is not None
    kind, rest = found.groups()
    how, _, text = rest.partition(":")
    text = text.strip()
    if kind == "ordered":
        case.ordered = True
    elif kind == "fail":
        case.fail = True
        case.fail_text = text if how == "msg" else None
        case.fail_regex = text if how == "regex" else None
    elif kind in ("warn", "info"):
        case.notes.setdefault(kind, [])
        if how in ("msg", "regex"):
            case.notes[kind].append((how, text))
    elif kind in ("no_warn", "no_info"):
        case.notes[kind] = []
    elif kind == "string":
        case.string = unquote(rest)
    else:
        times = re.fullmatch(r"vector from (\S+) to (\S+) step (\S+)", rest)
        assert times is not None, line
        start, end, step = times.groups()
        case.vector_range = (time_ms(start), time_ms(end), time_ms(step))


def _expected_value(case: Case, line: str) -> None:
    try:
        case.scalar = float(line)
    except ValueError:
        labels, rest = parse_series(line)
        case.series.append((labels, parse_values(rest)))
