"""Parses the expositions of one target, learning their skeleton.

An application's exposition is the same text at each scrape but for the values. While it is, a scrape
costs a comparison of all that text and one number per line. When lines come or go, each line is
split anew, and only the series that were never seen are parsed.
"""

import struct
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct, field

from collector.scrape.grammar import parse_comment, parse_value, split_series
from collector.scrape.skeleton import SeriesOf, Skeleton
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


class Exposition(Struct, frozen=True):
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


class _Learned(Struct, frozen=True):
    """How the exposition before looked.

    Attributes:
        skeleton: All but its values.
        series: Its series.
        decorated: Whether some line has a timestamp or an exemplar.
        openmetrics: Which format it was read as.
    """

    skeleton: Skeleton
    series: SeriesOf
    decorated: bool
    openmetrics: bool


class ExpositionParser(Struct):
    """Parses one target's expositions; not for use from two threads at once.

    Attributes:
        metadata: What the comments said, by family; complete after the first exposition.
    """

    metadata: dict[str, Metadata] = field(default_factory=dict)
    _learned: _Learned | None = None
    _comments: frozenset[bytes] = frozenset()
    _series: SeriesOf | None = None

    def parse(self, body: bytes | bytearray, *, openmetrics: bool = False) -> Exposition:
        """Return the samples; never raises."""
        found = self.parse_known(body, openmetrics=openmetrics)
        return self._slow(bytes(body), openmetrics=openmetrics) if found is None else found

    def parse_known(
        self, body: bytes | bytearray, *, openmetrics: bool = False
    ) -> Exposition | None:
        """Return the samples if only values differ from the exposition before, which is quick; else None."""
        known = self._learned
        if known is None or known.openmetrics != openmetrics:
            return None
        values = known.skeleton.values(body if body.endswith(b"\n") else body + b"\n")
        if values is None:
            return None
        if known.decorated:
            rests = values.split(b"\n")[:-1]
            return _decorated(known.series, rests, openmetrics=openmetrics)
        numbers = parse_numbers(values)
        if numbers is None:
            return None
        return Exposition(known.series, numbers, None, 0, b"", complete=True)

    def _slow(self, body: bytes, *, openmetrics: bool) -> Exposition:
        lines = body.split(b"\n")
        if not lines[-1]:
            lines.pop()
        prefixes, sampled, bad = [], [], []
        series, values, stamps = [], [], []
        complete = not openmetrics
        for line in lines:
            if line.startswith(b"#") or not line.strip():
                prefixes.append(line)
                sampled.append(False)
                if line and line not in self._comments:
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
        self._comments = frozenset(
            line for line, is_sample in zip(prefixes, sampled, strict=True) if not is_sample
        )
        held: Sequence[bytes] = series
        self._learned = None
        # a body with bad lines is parsed in full again, so that they are counted each time
        if series and complete and not bad:
            held = self._hold(series, Skeleton(prefixes, sampled))
            self._learned = _Learned(held.skeleton, held, decorated, openmetrics)
        return Exposition(
            held,
            np.array(values, dtype=np.float64),
            _stamps(stamps),
            len(bad),
            bad[0][:100] if bad else b"",
            complete=complete,
        )

    def _hold(self, series: list[bytes], skeleton: Skeleton) -> SeriesOf:
        """Return the series as an object that is the same as before if they are."""
        held = self._series
        if held is None or len(held) != len(series) or not all(map(bytes.__eq__, held, series)):
            held = self._series = SeriesOf(skeleton)
        held.skeleton = skeleton
        return held

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


def _decorated(series: SeriesOf, rests: list[bytes], *, openmetrics: bool) -> Exposition | None:
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


def parse_numbers(text: bytes) -> Floats | None:
    """Return the numbers of a text with a line break behind each; None if one of them is none.

    A JSON decoder reads a whole list of numbers several times as fast as ``float`` reads each, and
    rounds the same; what JSON has not (NaN, +Inf, a leading plus) is read the slow way.
    """
    count = text.count(b"\n")
    array = b"[" + text[:-1].replace(b"\n", b",") + b"]"
    try:
        numbers = _NUMBERS.decode(array)
    except msgspec.DecodeError:
        return _parse_each(text, array)
    if len(numbers) != count:
        return None
    # a third of the time of np.array, which asks each number for its type
    values = np.frombuffer(struct.pack(f"={count}d", *numbers)).copy()
    if b"-0" in text:  # the whole number -0 has lost its sign
        texts = text.split(b"\n")
        for row in np.flatnonzero(values == 0.0).tolist():
            values[row] = float(texts[row])
    return values


def _parse_each(text: bytes, array: bytes) -> Floats | None:
    texts = text.split(b"\n")[:-1]
    if b"NaN" in text and b"null" not in text:  # quantiles of nothing are common
        try:
            some = _OR_NONE.decode(array.replace(b"NaN", b"null"))
        except msgspec.DecodeError:
            some = []
        if len(some) == len(texts) and b"-0" not in text:
            return np.array(some, dtype=np.float64)
    if b"_" in text:  # float() takes 1_000, the format does not
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
