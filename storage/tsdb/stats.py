"""How much is in the store: what ``/api/v1/status/tsdb`` shows."""

from collections.abc import Mapping

from msgspec import Struct


class TsdbStats(Struct, frozen=True):
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


class HeadStats(Struct, frozen=True):
    """Counts over the whole store; names as in Prometheus's ``headStats``.

    Attributes:
        num_series: Series that can be found.
        num_label_pairs: Distinct pairs of label name and value among them.
        chunk_count: Encoded frames in memory.
        min_time: Time of the oldest sample in memory (ms), None if there is none.
        max_time: Time of the newest one, None if there is none.
    """

    num_series: int
    num_label_pairs: int
    chunk_count: int
    min_time: int | None
    max_time: int | None


class Dropped(Struct, frozen=True):
    """Series of one target that a limit kept out.

    Attributes:
        target: Its ``job`` and ``instance``, as ``job/instance``; "" where it has neither.
        limit: The limit that was reached: ``max_series`` or ``max_series_per_target``.
        series: How many series were refused, counted each time they were offered.
    """

    target: str
    limit: str
    series: int


class Cardinality(Struct, frozen=True):
    """Where the series come from; what ``/api/v1/status/tsdb`` answers, the largest first.

    Attributes:
        head_stats: Counts over all.
        series_count_by_metric_name: Series of each metric.
        label_value_count_by_label_name: Distinct values of each label name.
        memory_in_bytes_by_label_name: Bytes that a name's values would take if each series had
            its own copy, as Prometheus counts them.
        series_count_by_label_value_pair: Series of each ``name=value``.
        dropped_by_target: What limits have kept out since the start.
    """

    head_stats: HeadStats
    series_count_by_metric_name: tuple[tuple[str, int], ...]
    label_value_count_by_label_name: tuple[tuple[str, int], ...]
    memory_in_bytes_by_label_name: tuple[tuple[str, int], ...]
    series_count_by_label_value_pair: tuple[tuple[str, int], ...]
    dropped_by_target: tuple[Dropped, ...]
