"""Which shard a series goes through, and what its samples look like on the wire.

A series is always sent by the same shard, so that its samples stay in order.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.labels import METRIC_NAME, Labels
from model.samples import Bools, Exemplar, Floats, Ints, is_no_sample, no_samples
from storage.interface import Metadata
from storage.remote.encode import encode_labels
from storage.remote.out.follower import FollowedLayout
from storage.remote.out.format import Counts, Format, SentLayout
from storage.remote.out.metrics import EndpointMetrics
from storage.tsdb.samples import Samples

Relabel = Callable[[Labels], Labels | None]

_MAX_KNOWN: Final = 2_000_000
_MAX_LAYOUTS: Final = 10_000
_MAX_WAITING: Final = 10_000  # series whose exemplars wait for a sample
_SUFFIXES: Final = (
    "_bucket", "_count", "_sum", "_total", "_info", "_created", "_gcount", "_gsum",
)  # fmt: skip


class Routed(NamedTuple):
    """Something for one shard."""

    shard: int
    content: object
    counts: Counts
    newest_ms: int


class _Place(NamedTuple):
    """Where a series goes, and its form there."""

    shard: int
    series: bytes


class _Sent(Struct):
    """One layout as it is sent: rows of the shards, and their encoders; the row of each series."""

    rows: list[tuple[int, Bools, SentLayout]]
    dropped: int
    row_of: dict[Labels, int]


class Router:
    """See the module; for one thread.

    Args:
        form: The protocol's version.
        relabel: Gives a series the labels it is sent with, None if it is not sent.
        metrics: Where it counts what is not sent.
        shards: How many there are.
        max_samples: Of one piece.
        send_exemplars: Whether exemplars are sent.
        send_histograms: Whether native histograms are sent.
    """

    def __init__(
        self,
        form: Format,
        relabel: Relabel,
        metrics: EndpointMetrics,
        shards: int,
        *,
        max_samples: int,
        send_exemplars: bool,
        send_histograms: bool,
    ) -> None:
        self._format = form
        self._relabel = relabel
        self._metrics = metrics
        self._shards = shards
        self._max_samples = max_samples
        self._send_exemplars = send_exemplars
        self._send_histograms = send_histograms
        self._layouts: dict[FollowedLayout, _Sent] = {}
        self._series: dict[Labels, _Place | None] = {}
        self._about: Mapping[str, Metadata] = {}
        self._waiting: dict[Labels, list[Exemplar]] = {}
        self.dropped = 0  # samples, for the plan of shards

    def spread(self, shards: int) -> None:
        """Go by another number of shards; nothing may be on its way."""
        self._shards = shards
        self._forget()

    def tell(self, about: Mapping[str, Metadata]) -> None:
        """Say what is known of metric families now."""
        if about != self._about:
            self._about = dict(about)
            self._forget()

    def _make_room(self) -> None:
        if self._format.forget():
            self._forget()

    def _forget(self) -> None:
        self._layouts.clear()
        self._series.clear()

    # ------------------------------------------------------------ exemplars

    def wait_for_samples(self, exemplars: Sequence[tuple[Labels, Exemplar]]) -> None:
        """Take exemplars that go with the next sample of their series (2.0); too many give way."""
        if not self._send_exemplars:
            self._drop(Counts(exemplars=len(exemplars)), "disabled")
            return
        for labels, one in exemplars:
            self._waiting.setdefault(labels, []).append(one)
        while len(self._waiting) > _MAX_WAITING:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            self._drop(Counts(exemplars=len(oldest)), "no_sample")

    def exemplars(self, exemplars: Sequence[tuple[Labels, Exemplar]]) -> Iterator[Routed]:
        """Send exemplars by themselves (1.0); their samples are on their way."""
        if not self._send_exemplars:
            self._drop(Counts(exemplars=len(exemplars)), "disabled")
            return
        by_shard: dict[int, list[tuple[bytes, Exemplar]]] = {}
        for labels, one in exemplars:
            place = self._place(labels)
            if place is None:
                self._drop(Counts(exemplars=1), "relabel")
            else:
                by_shard.setdefault(place.shard, []).append((place.series, one))
        for shard, some in sorted(by_shard.items()):
            for start in range(0, len(some), self._max_samples):
                series, found = zip(*some[start : start + self._max_samples], strict=True)
                yield Routed(shard, *self._format.exemplars(series, found), 0)

    # ------------------------------------------------------------ samples

    def scrape(self, layout: FollowedLayout, ts_ms: int, values: Floats) -> Iterator[Routed]:
        """Send one scrape."""
        sent = self._layouts.get(layout)
        if sent is None:
            if len(self._layouts) > _MAX_LAYOUTS:
                self._layouts.clear()
            sent = self._layouts[layout] = self._learn(layout)
        if sent.dropped:
            self._drop(Counts(sent.dropped), "relabel")
        if self._waiting:
            marked = [row for one in self._waiting if (row := sent.row_of.get(one)) is not None]
            rows = np.array(sorted(marked), dtype=np.int64)
            rows = rows[~is_no_sample(values[rows])]
            if len(rows):
                some = Samples(rows, np.full(len(rows), ts_ms), values[rows])
                yield from self.loose(some, layout.labels)
                values = values.copy()
                values[rows] = no_samples(len(rows))
        for shard, mine, encoder in sent.rows:
            content, count = encoder.encode(ts_ms, values[mine])
            yield Routed(shard, content, Counts(count), ts_ms)

    def _learn(self, layout: FollowedLayout) -> _Sent:
        self._make_room()
        places = [self._place(labels) for labels in layout.labels]
        shards = np.array([-1 if place is None else place.shard for place in places])
        rows = []
        for shard in sorted(set(shards.tolist()) - {-1}):
            every = np.flatnonzero(shards == shard)
            for start in range(0, len(every), self._max_samples):
                mine = np.zeros(len(shards), dtype=np.bool_)
                mine[every[start : start + self._max_samples]] = True
                series = [place.series for place in _chosen(places, mine)]
                rows.append((int(shard), mine, self._format.layout(series)))
        row_of = {labels: row for row, labels in enumerate(layout.labels)}
        return _Sent(rows, int((shards < 0).sum()), row_of)

    def loose(
        self, samples: Samples, labels: Mapping[int, Labels] | Sequence[Labels]
    ) -> Iterator[Routed]:
        """Send samples with their own times; ``refs`` lead into ``labels``."""
        if samples.histograms is not None and not self._send_histograms:
            here = samples.histograms.index >= 0
            self._drop(Counts(histograms=int(here.sum())), "disabled")
            samples = replace(samples.take(~here), histograms=None)
        self._make_room()
        refs, inverse = np.unique(samples.refs, return_inverse=True)
        names = [labels[ref] for ref in refs.tolist()]
        places = [self._place(one) for one in names]
        shards = np.array([-1 if place is None else place.shard for place in places])[inverse]
        unsent = shards < 0
        if unsent.any():
            self._drop(_counted(samples.take(unsent)), "relabel")
        exemplars = self._taken(names, inverse) if self._waiting else {}
        lost = sum(len(some) for row, some in exemplars.items() if unsent[row])
        if lost:
            self._drop(Counts(exemplars=lost), "relabel")
        for shard in sorted(set(shards.tolist()) - {-1}):
            rows = np.flatnonzero(shards == shard)
            for start in range(0, len(rows), self._max_samples):
                some = rows[start : start + self._max_samples]
                series = [place.series for place in _chosen(places, inverse[some])]
                mine = {
                    n: exemplars[row] for n, row in enumerate(some.tolist()) if row in exemplars
                }
                part = samples.take(some)
                newest = int(part.ts_ms.max(initial=0))
                yield Routed(int(shard), *self._format.samples(series, part, mine), newest)

    def _taken(self, names: Sequence[Labels], inverse: Ints) -> dict[int, list[Exemplar]]:
        """Return the exemplars that waited for these series, by each one's last sample."""
        found = {}
        for n, labels in enumerate(names):
            if waiting := self._waiting.pop(labels, None):
                found[int(np.flatnonzero(inverse == n)[-1])] = waiting
        return found

    def _place(self, labels: Labels) -> _Place | None:
        """Return shard and form of a series, None if it is not sent."""
        if labels in self._series:
            return self._series[labels]
        if len(self._series) > _MAX_KNOWN:
            self._series.clear()
        found = self._relabel(labels)
        place = None
        if found is not None and found:
            shard = zlib.crc32(encode_labels(found)) % self._shards
            place = _Place(shard, self._format.series(found, self._family(labels)))
        self._series[labels] = place
        return place

    def _family(self, labels: Labels) -> Metadata | None:
        """Return what is known of the family that a series belongs to."""
        name = labels.get(METRIC_NAME)
        found = self._about.get(name)
        if found is None and self._about:
            stems = [name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)]
            found = next((self._about[stem] for stem in stems if stem in self._about), None)
        return found

    def _drop(self, counts: Counts, reason: str) -> None:
        self.dropped += counts.total
        self._metrics.dropped(counts, reason)


def _chosen(places: Sequence[_Place | None], rows: Bools | Ints) -> list[_Place]:
    """Return some that are sent."""
    where = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return [place for n in where.tolist() if (place := places[n]) is not None]


def _counted(samples: Samples) -> Counts:
    histograms = 0 if samples.histograms is None else int((samples.histograms.index >= 0).sum())
    return Counts(samples.size - histograms, histograms)
