"""Counting what is in a store."""

import heapq
from collections.abc import Iterable, Mapping

from model.labels import METRIC_NAME
from storage.tsdb.blocks import Blocks
from storage.tsdb.head import Head
from storage.tsdb.query import Querier
from storage.tsdb.stats import Cardinality, HeadStats, TsdbStats
from storage.tsdb.wal import Wal

_TOP = 10


def look(head: Head, blocks: Blocks, wal: Wal, querier: Querier) -> TsdbStats:
    """Count."""
    sealed = querier.sealed_table()
    every = blocks.all
    spans = [(b.meta.mint, b.meta.maxt) for b in every] + _head_spans(head, querier)
    return TsdbStats(
        series=head.index.live,
        head_rows=head.slab.used_rows,
        head_chunks=len(sealed.chunks),
        head_frames=sealed.frames,
        late_samples=head.lane.size,
        blocks=len(every),
        block_bytes=sum(b.size_bytes for b in every),
        wal_bytes=wal.size_bytes,
        min_time_ms=min((low for low, _ in spans), default=None),
        max_time_ms=max((high for _, high in spans), default=None),
        label_values=_top(head.index.cardinality()),
        metric_series=_top(head.index.series_by_metric()),
    )


def count(head: Head, querier: Querier, limit: int) -> Cardinality:
    """Count where the series come from; at most ``limit`` rows of each kind."""
    pairs: list[tuple[str, int]] = []
    values: dict[str, int] = {}
    memory: dict[str, int] = {}
    metrics: list[tuple[str, int]] = []
    for name, counts in head.index.counts():
        values[name] = len(counts)
        memory[name] = sum(len(value.encode()) * series for value, series in counts)
        if name == METRIC_NAME:
            metrics = counts
        pairs.extend((f"{name}={value}", series) for value, series in _most(counts, limit))
    spans = _head_spans(head, querier)
    return Cardinality(
        head_stats=HeadStats(
            num_series=head.index.live,
            num_label_pairs=sum(values.values()),
            chunk_count=querier.sealed_table().frames,
            min_time=min((low for low, _ in spans), default=None),
            max_time=max((high for _, high in spans), default=None),
        ),
        series_count_by_metric_name=_most(metrics, limit),
        label_value_count_by_label_name=_most(values.items(), limit),
        memory_in_bytes_by_label_name=_most(memory.items(), limit),
        series_count_by_label_value_pair=_most(pairs, limit),
        dropped_by_target=head.index.limits.dropped(limit),
    )


def _head_spans(head: Head, querier: Querier) -> list[tuple[int, int]]:
    sealed = querier.sealed_table()
    spans = [(sealed.mint, sealed.maxt), head.slab.span(), head.lane.view().span()]
    return [span for span in spans if span[0] <= span[1]]


def _most(counts: Iterable[tuple[str, int]], limit: int) -> tuple[tuple[str, int], ...]:
    return tuple(heapq.nsmallest(limit, counts, key=lambda item: (-item[1], item[0])))


def _top(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP])
