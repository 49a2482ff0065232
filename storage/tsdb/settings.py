"""What the store can be told; set by code, made from ``storage.config`` by the wiring."""

from msgspec import Struct

HOUR_MS = 3_600_000


class TsdbSettings(Struct, frozen=True):
    """How much is kept, and when it moves from memory to disk.

    Attributes:
        retention_ms: Samples older than this are dropped; 0 keeps all.
        retention_bytes: Oldest blocks go once blocks take more than this; 0 is no limit.
        max_series: Most series that may be known at once.
        max_series_per_target: Most series of one ``job`` and ``instance``; 0 is no limit.
        max_exemplars: Exemplars kept, the newest of all series together; 0 keeps none.
        block_ms: Length of a head block; blocks begin at multiples of it.
        longest_block_ms: Longest block that merging makes; 0 is a tenth of retention, 31 days at most.
        block_delay_ms: How long after its end a window is written, for scrapes that come late.
        lane_samples: Samples with own timestamps that are held in memory at most; a histogram
            counts as many as its size in memory says.
        idle_ms: A layout without samples for this long gives its rows back.
        forget_ms: A layout without samples for this long is unknown, and so are, some time later,
            series that are in memory no more.
        commit_ms: Longest time a sample waits for its group.
        commit_bytes: Size at which a group is written without waiting.
        segment_bytes: Size at which a new WAL segment is begun.
        fsync_ms: Longest time between a write and its fsync.
        cache_bytes: Decoded frames kept for the next query.
        reserve_bytes: Room on disk that is kept for writing blocks when the disk is full.
        maintain_seconds: Pause between two rounds of housekeeping.
    """

    retention_ms: int = 15 * 24 * HOUR_MS
    retention_bytes: int = 0
    max_series: int = 2_000_000
    max_series_per_target: int = 0
    max_exemplars: int = 100_000
    block_ms: int = 2 * HOUR_MS
    longest_block_ms: int = 0
    block_delay_ms: int = 10 * 60_000
    lane_samples: int = 2_000_000
    idle_ms: int = 10 * 60_000
    forget_ms: int = HOUR_MS
    commit_ms: int = 100
    commit_bytes: int = 1 << 20
    segment_bytes: int = 64 << 20
    fsync_ms: int = 1000
    cache_bytes: int = 32 << 20
    reserve_bytes: int = 8 << 20
    maintain_seconds: float = 5.0
