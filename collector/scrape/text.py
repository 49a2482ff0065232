"""Parses the expositions of one target, learning their skeleton.

An application's exposition is the same text at each scrape but for the values. The parser remembers
the part of every line in front of the value; while those are unchanged, a scrape costs one
comparison and one number per line. When lines come or go, each line is split anew, and only the
series that were never seen are parsed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import msgspec
import numpy as np

from collector.scrape.grammar import parse_comment, parse_value, split_series
from model.samples import Floats, Ints
from storage.interface import Metadata

_TYPES: Final = {
    "counter": "counter",
    "gauge": "gauge",
    "histogram": "histogram",
    "gaugehistogram": "gaugehistogram",
    "summary": "summary",
    "info": "info",
    "stateset": "stateset",
    "untyped": "unknown",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True)
class Exposition:
    """The samples of one exposition, as columns of n.

    Attributes:
        series: The text of each series as it stands in its line (``up{a="b"} ``). The same object as
            at the scrape before as long as the lines are the same, so that a consumer may key on it.
        values: float64, shape (n,).
        ts_ms: int64, shape (n,): own timestamps, NO_TIMESTAMP without; None if no sample has one.
        bad_lines: Lines that could not be read.
        first_bad: The first of them, cut; b"" if there is none.
        complete: False if OpenMetrics' ``# EOF`` is missing.
    """

    series: Sequence[bytes]
    values: Floats
    ts_ms: Ints | None
    bad_lines: int
    first_bad: bytes
    complete: bool


_NUMBERS: Final = msgspec.json.Decoder(list[float])
_OR_NONE: Final = msgspec.json.Decoder(list[float | None])
NO_TIMESTAMP: Final = np.iinfo(np.int64).min


@dataclass(slots=True)
class _Skeleton:
    """What is the same from one scrape to the next.

    Attributes:
        prefixes: The series of each sample line, the whole text of any other.
        sampled: Whether each line is a sample.
        lengths: Lengths of the series of the sample lines.
        series: The series of the sample lines.
        decorated: Whether some line has a timestamp or an exemplar.
        openmetrics: Which format it was read as.
    """

    prefixes: list[bytes]
    sampled: list[bool]
    lengths: list[int]
    series: tuple[bytes, ...]
    decorated: bool
    openmetrics: bool


@dataclass(slots=True)
class ExpositionParser:
    """Parses one target's expositions; not for use from two threads at once.

    Attributes:
        metadata: What the comments said, by family; complete after the first exposition.
    """

    metadata: dict[str, Metadata] = field(default_factory=dict)
    _skeleton: _Skeleton | None = None

    def parse(self, body: bytes | bytearray, *, openmetrics: bool = False) -> Exposition:
        """Return the samples; never raises."""
        lines = _lines(body)
        found = self._parse_known(lines, openmetrics=openmetrics)
        return self._slow(lines, openmetrics=openmetrics) if found is None else found

    def parse_known(
        self, body: bytes | bytearray, *, openmetrics: bool = False
    ) -> Exposition | None:
        """Return the samples if the lines are those of the exposition before, which is quick; else None."""
        return self._parse_known(_lines(body), openmetrics=openmetrics)

    def _parse_known(self, lines: list[bytes], *, openmetrics: bool) -> Exposition | None:
        known = self._skeleton
        if (
            known is not None
            and known.openmetrics == openmetrics
            and len(lines) == len(known.prefixes)
            and (not openmetrics or lines[-1].rstrip() == b"# EOF")
            and all(map(bytes.startswith, lines, known.prefixes))  # one C loop over both lists
        ):
            return self._quick(known, lines, openmetrics=openmetrics)
        return None

    def _quick(
        self, known: _Skeleton, lines: list[bytes], *, openmetrics: bool
    ) -> Exposition | None:
        """Parse only values; None where one of them is not a number."""
        rests = [
            line[length:]
            for line, length in zip(compress(lines, known.sampled), known.lengths, strict=True)
        ]
        if known.decorated:
            return _decorated(known.series, rests, openmetrics=openmetrics)
        values = parse_numbers(rests)
        if values is None:
            return None
        return Exposition(known.series, values, None, 0, b"", complete=True)

    def _slow(self, lines: list[bytes], *, openmetrics: bool) -> Exposition:
        prefixes, sampled, bad = [], [], []
        series, values, stamps = [], [], []
        complete = not openmetrics
        before = self._skeleton
        old = set(before.prefixes) if before else set()
        for line in lines:
            if line.startswith(b"#") or not line.strip():
                prefixes.append(line)
                sampled.append(False)
                if line and line not in old:
                    self._comment(line)
                complete = complete or line.rstrip() == b"# EOF"
                continue
            at = split_series(line)
            value = parse_value(line[at:], openmetrics=openmetrics) if at else None
            if value is None:
                bad.append(line)
                continue
            prefixes.append(line[:at])
            sampled.append(True)
            series.append(line[:at])
            values.append(value[0])
            stamps.append(NO_TIMESTAMP if value[1] is None else value[1])
        decorated = any(stamp != NO_TIMESTAMP for stamp in stamps) or (
            openmetrics and any(b" # " in line for line in lines if not line.startswith(b"#"))
        )
        names = tuple(series)
        if before is not None and before.series == names:
            names = before.series
        # A body with bad lines is parsed in full again, so that they are counted each time; so is one
        # with blank lines, as every line begins with the empty prefix.
        self._skeleton = (
            None
            if bad or not complete or b"" in prefixes
            else _Skeleton(
                prefixes, sampled, [len(s) for s in names], names, decorated, openmetrics
            )
        )
        return Exposition(
            names,
            np.array(values, dtype=np.float64),
            _stamps(stamps),
            len(bad),
            bad[0][:100] if bad else b"",
            complete=complete,
        )

    def _comment(self, line: bytes) -> None:
        comment = parse_comment(line)
        if comment is None or comment[0] == "EOF":
            return
        kind, family, text = comment
        known = self.metadata.get(family) or Metadata("unknown", "", "")
        if kind == "TYPE":
            known = Metadata(_TYPES.get(text, "unknown"), known.help, known.unit)
        elif kind == "HELP":
            known = Metadata(known.type, text, known.unit)
        else:
            known = Metadata(known.type, known.help, text)
        self.metadata[family] = known


def _lines(body: bytes | bytearray) -> list[bytes]:
    lines = bytes(body).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _decorated(
    series: tuple[bytes, ...], rests: list[bytes], *, openmetrics: bool
) -> Exposition | None:
    """Parse values with timestamps or exemplars; None where one of them does not fit."""
    values = np.empty(len(rests), dtype=np.float64)
    stamps = []
    for row, rest in enumerate(rests):
        found = parse_value(rest, openmetrics=openmetrics)
        if found is None:
            return None
        values[row] = found[0]
        stamps.append(NO_TIMESTAMP if found[1] is None else found[1])
    return Exposition(series, values, _stamps(stamps), 0, b"", complete=True)


def parse_numbers(texts: list[bytes]) -> Floats | None:
    """Return the numbers that texts are; None if one of them is none.

    A JSON decoder reads a whole list of numbers several times as fast as ``float`` reads each, and
    rounds the same; what JSON has not (NaN, +Inf, a leading plus) is read the slow way.
    """
    joined = b",".join(texts)
    try:
        values = np.array(_NUMBERS.decode(b"[" + joined + b"]"), dtype=np.float64)
    except msgspec.DecodeError:
        return _parse_each(texts, joined)
    if len(values) != len(texts):
        return None
    if b"-0" in joined:  # the whole number -0 has lost its sign
        for row in np.flatnonzero(values == 0.0).tolist():
            values[row] = float(texts[row])
    return values


def _parse_each(texts: list[bytes], joined: bytes) -> Floats | None:
    if b"NaN" in joined and b"null" not in joined:  # quantiles of nothing are common
        try:
            some = _OR_NONE.decode(b"[" + joined.replace(b"NaN", b"null") + b"]")
        except msgspec.DecodeError:
            some = []
        if len(some) == len(texts) and b"-0" not in joined:
            return np.array(some, dtype=np.float64)
    if b"_" in joined:  # float() takes 1_000, the format does not
        return None
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        return None


def _stamps(stamps: list[int]) -> Ints | None:
    """Return own timestamps as a column, None if no sample has one; times beyond int64 count as none."""
    limit = 1 << 62
    if all(stamp == NO_TIMESTAMP for stamp in stamps):
        return None
    return np.array([s if -limit < s < limit else NO_TIMESTAMP for s in stamps], dtype=np.int64)
