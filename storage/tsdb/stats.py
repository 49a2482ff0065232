"""How much is in the store: what ``/api/v1/status/tsdb`` shows."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TsdbStats:
    """One look at the store.

    Attributes:
        series: Series that can be found.
        head_rows: Rows of the slab in use.
        head_chunks: Sealed chunks in memory.
        head_frames: Frames of those.
        late_samples: Samples with their own timestamps in memory.
        blocks: Blocks on disk.
        block_bytes: Size of those.
        wal_bytes: Size of the write-ahead log.
        min_time_ms: Time of the oldest sample, None if there is none.
        max_time_ms: Time of the newest sample, None if there is none.
        label_values: Label names with the most values, and how many.
        metric_series: Metrics with the most series, and how many.
    """

    series: int
    head_rows: int
    head_chunks: int
    head_frames: int
    late_samples: int
    blocks: int
    block_bytes: int
    wal_bytes: int
    min_time_ms: int | None
    max_time_ms: int | None
    label_values: Mapping[str, int]
    metric_series: Mapping[str, int]
