"""Reads an OTLP request as columns, without a Python object for a point.

Exporters write a point's numbers first, each in eight bytes, and what names it behind them::

    11 <start> 19 <time> 21|31 <value>  <attributes>
    11 <start> 19 <time> 21 <count> [29 <sum>] 32 <len> <counts>  <bounds> <attributes>  [59 <min> 61 <max>]

Of those that are known only the place is noted; the numbers are picked out of the request all at
once. Others (exemplars, flags, delta sums, other kinds) are decoded one by one.
"""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, field

from storage.otlp.known import Known, KnownMetric, KnownResource
from storage.otlp.labels import Resource
from storage.otlp.messages import decode_protobuf
from storage.remote.wire import WireError, read_delimited, read_varint, skip

_DATA_TAGS: Final = frozenset((0x2A, 0x3A, 0x4A, 0x52, 0x5A))
_POINT: Final = 0x0A
_MAX_TAIL: Final = 16  # temporality, and whether it is monotonic
_START, _TIME, _DOUBLE, _INT = 0x11, 0x19, 0x21, 0x31
_COUNT, _SUM, _COUNTS, _MIN, _MAX = 0x21, 0x29, 0x32, 0x59, 0x61

Span = tuple[int, int]


class UnusualError(Exception):
    """A request that is right, but not written as exporters write it."""


class Numbers(Struct):
    """Where gauges' and sums' numbers are.

    Attributes:
        rows: Number of the series of each point.
        at: Where its time stands in the request; the value is behind it.
        starts: Whether a start stands before the time, and counts.
    """

    rows: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    starts: list[bool] = field(default_factory=list)


class Histograms(Struct):
    """Where the numbers of histograms are that have the same number of buckets.

    Attributes:
        rows: Number of the first series of each point.
        at: Where its time stands; count and sum are behind it.
        starts: Whether a start stands before the time.
        counts: Where the buckets' counts begin.
        parts: Which part of the request it is in.
    """

    rows: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    starts: list[bool] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)


class Part(Struct):
    """One resource of a request.

    Attributes:
        resource: Whose it is.
        slow: Metrics whose points have to be translated one by one.
        numbers: How many of the request's numbers come before its end.
    """

    resource: Resource
    slow: list[dict[str, Any]] = field(default_factory=list)
    numbers: int = 0


class Walked(Struct):
    """What was found in a request.

    Attributes:
        parts: Its resources.
        numbers: Gauges and sums.
        histograms: By number of buckets and whether there is a sum.
        points: How many points of each kind that is.
        unread: Where numbers are that nothing is made of: a histogram's ends, a gauge's start.
    """

    parts: list[Part] = field(default_factory=list)
    numbers: Numbers = field(default_factory=Numbers)
    histograms: dict[tuple[int, bool], Histograms] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)
    unread: list[int] = field(default_factory=list)


class Walker:
    """Walks through requests; for one thread at a time.

    Args:
        known: What is remembered.
    """

    def __init__(self, known: Known) -> None:
        self._known = known

    def walk(self, data: bytes) -> Walked:
        """Find the numbers of a request.

        Raises:
            WireError: If it is none.
            UnusualError: If it has to be decoded as a whole.
        """
        found = Walked()
        for at, end in _fields(data, 0, len(data), 0x0A):
            raw = b""
            for start, stop in _fields(data, at, end, 0x0A):
                raw = data[start:stop]
            owner = self._known.resource(raw)
            found.parts.append(Part(owner.resource))
            for scope in _fields(data, at, end, 0x12):
                for start, stop in _fields(data, *scope, 0x12):
                    self._metric(data, start, stop, owner, found)
            found.parts[-1].numbers = len(found.numbers.rows)
        return found

    def _metric(
        self, data: bytes, start: int, end: int, owner: KnownResource, found: Walked
    ) -> None:
        at = start
        while at < end and data[at] not in _DATA_TAGS:
            tag, at = read_varint(data, at)
            at = skip(data, tag, at, end)
        if at >= end:
            return  # it has no points
        head = data[start : at + 1]
        at, stop = read_delimited(data, at + 1, end)
        metric = owner.metrics.get(head)
        if metric is None or not data.endswith(metric.tail, at, stop):
            metric = self._known.metric(owner, head, _tail(data, at, stop))
        last = stop - len(metric.tail)
        if stop != end or len(metric.tail) > _MAX_TAIL:
            raise UnusualError
        if not metric.usual:
            slow = list(_fields(data, at, last, _POINT))
        elif metric.kind == "histogram":
            slow, number = self._histograms(data, at, last, owner, metric, found)
            found.points[metric.kind] = found.points.get(metric.kind, 0) + number
        else:
            before = len(found.numbers.rows)
            slow = self._numbers(data, at, last, owner, metric, found)
            number = len(found.numbers.rows) - before
            found.points[metric.kind] = found.points.get(metric.kind, 0) + number
        if slow:
            points = [decode_protobuf(data[a:b], metric.message) for a, b in slow]
            held = {**metric.head[metric.kind], "data_points": points}
            found.parts[-1].slow.append({**metric.head, metric.kind: held})

    def _numbers(
        self,
        data: bytes,
        at: int,
        end: int,
        owner: KnownResource,
        metric: KnownMetric,
        found: Walked,
    ) -> list[Span]:
        """Note the places of known points; return the others."""
        slow: list[Span] = []
        known, numbers, has_start = metric.points, found.numbers, metric.kind != "gauge"
        add_row, add_at, add_start = numbers.rows.append, numbers.at.append, numbers.starts.append
        while at < end:
            begin, stop = _point(data, at, end)
            at = stop
            time = begin + 9 if data[begin] == _START else begin
            if time + 18 > stop or data[time] != _TIME or data[time + 9] not in (_DOUBLE, _INT):
                slow.append((begin, stop))
                continue
            rest = data[time + 18 : stop]
            row = known.get(rest)
            if row is None:
                row = self._known.point(owner, metric, rest)
            if row < 0:
                slow.append((begin, stop))
                continue
            add_row(row)
            add_at(time)
            add_start(has_start and time != begin)
            if time != begin and not has_start:
                found.unread.append(begin + 1)
        return slow

    def _histograms(
        self,
        data: bytes,
        at: int,
        end: int,
        owner: KnownResource,
        metric: KnownMetric,
        found: Walked,
    ) -> tuple[list[Span], int]:
        """Note the places of known points; return the others, and how many are known."""
        slow: list[Span] = []
        number = 0
        known = metric.histograms
        while at < end:
            begin, stop = _point(data, at, end)
            at = stop
            time = begin + 9 if data[begin] == _START else begin
            place = time + 18
            if place + 2 > stop or data[time] != _TIME or data[time + 9] != _COUNT:
                slow.append((begin, stop))
                continue
            has_sum = data[place] == _SUM
            place += 9 if has_sum else 0
            if place + 2 > stop or data[place] != _COUNTS:
                slow.append((begin, stop))
                continue
            first, place = read_delimited(data, place + 1, stop)
            last = stop
            if last - place > 18 and data[last - 18] == _MIN and data[last - 9] == _MAX:
                last -= 18
            rest = data[place:last]
            point = known.get(rest)
            size = place - first
            if point is None and rest not in known and size % 8 == 0:
                point = self._known.histogram(owner, metric, rest, size // 8, has_sum=has_sum)
            if point is None or point.buckets * 8 != size or point.has_sum != has_sum:
                slow.append((begin, stop))
                continue
            key = point.buckets, has_sum
            places = found.histograms.get(key)
            if places is None:
                places = found.histograms[key] = Histograms()
            places.rows.append(point.first)
            places.at.append(time)
            places.starts.append(time != begin)
            places.counts.append(first)
            places.parts.append(len(found.parts) - 1)
            if last < stop:
                found.unread += (last + 1, last + 10)
            number += 1
        return slow, number


def _point(data: bytes, at: int, end: int) -> Span:
    """Return where the contents of a point begin and end.

    Raises:
        UnusualError: If something else is there, or a point without anything.
        WireError: If it is cut off.
    """
    if data[at] != _POINT:
        raise UnusualError
    size = data[at + 1] if at + 1 < end else 0x80
    if size < 0x80:
        begin = at + 2
    elif at + 2 < end and data[at + 2] < 0x80:
        begin, size = at + 3, size & 0x7F | data[at + 2] << 7
    else:
        begin, stop = read_delimited(data, at + 1, end)
        size = stop - begin
    if not size:
        raise UnusualError
    if begin + size > end:
        raise WireError("a field is longer than its message")
    return begin, begin + size


def _tail(data: bytes, at: int, end: int) -> bytes:
    """Return what stands behind the points of a metric."""
    while at < end and data[at] == _POINT:
        at = read_delimited(data, at + 1, end)[1]
    return data[at:end]


def _fields(data: bytes, at: int, end: int, wanted: int) -> Iterator[Span]:
    """Yield where the contents of the fields with a tag begin and end.

    Raises:
        WireError: If the message is broken.
    """
    while at < end:
        tag, at = read_varint(data, at)
        if tag == wanted:
            start, at = read_delimited(data, at, end)
            yield start, at
        else:
            at = skip(data, tag, at, end)
