"""Counting what is in a store."""

from collections.abc import Mapping

from storage.tsdb.blocks import Blocks
from storage.tsdb.head import Head
from storage.tsdb.query import Querier
from storage.tsdb.stats import TsdbStats
from storage.tsdb.wal import Wal

_TOP = 10


def look(head: Head, blocks: Blocks, wal: Wal, querier: Querier) -> TsdbStats:
    """Count."""
    sealed = querier.sealed_table()
    every = blocks.all
    spans = [(b.meta.mint, b.meta.maxt) for b in every]
    spans.extend([(sealed.mint, sealed.maxt), head.slab.span(), head.lane.view().span()])
    spans = [span for span in spans if span[0] <= span[1]]
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


def _top(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP])
