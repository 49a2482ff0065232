"""The ``storage`` and ``logdb`` sections of the configuration file: how long series and log records are kept."""

from pydantic import Field

from configfile.validate import Section
from storage.logdb.settings import DAY_NS, LogDbSettings
from storage.tsdb.settings import HOUR_MS, TsdbSettings


class ExemplarsConfig(Section):
    """Exemplars of all series together.

    Attributes:
        max: How many are kept, the newest; 0 keeps none.
    """

    max: int = Field(100_000, ge=0, le=10_000_000)


class StorageConfig(Section):
    """The embedded store of series.

    Attributes:
        retention_days: How long samples are kept; 0 keeps them for ever.
        retention_bytes: Oldest blocks go once all take more than this; 0 is no limit.
        max_series: Most series that are known at once; what would be above is refused.
        max_series_per_target: Most series of one ``job`` and ``instance``; 0 is no limit.
        block_hours: Length of the blocks that are written to disk.
        cache_bytes: Memory for decoded frames.
        exemplars: What is kept of exemplars.
    """

    retention_days: float = Field(15.0, ge=0)
    retention_bytes: int = Field(0, ge=0)
    max_series: int = Field(2_000_000, ge=1)
    max_series_per_target: int = Field(0, ge=0)
    block_hours: int = Field(2, ge=1, le=24)
    cache_bytes: int = Field(32 << 20, ge=1 << 20)
    exemplars: ExemplarsConfig = ExemplarsConfig()

    def tsdb_settings(self) -> TsdbSettings:
        """Return the section as the store takes it."""
        return TsdbSettings(
            retention_ms=int(self.retention_days * 24 * HOUR_MS),
            retention_bytes=self.retention_bytes,
            max_series=self.max_series,
            max_series_per_target=self.max_series_per_target,
            block_ms=self.block_hours * HOUR_MS,
            cache_bytes=self.cache_bytes,
            max_exemplars=self.exemplars.max,
        )


class LogDbConfig(Section):
    """The embedded log store; ``LogDbSettings`` says what each setting does."""

    retention_days: float = Field(30.0, gt=0)
    retention_bytes: int = Field(20 << 30, ge=1 << 20)
    seal_bytes: int = Field(16 << 20, ge=1024)
    seal_seconds: float = Field(300.0, gt=0)
    segment_bytes: int = Field(64 << 20, ge=1024)
    sync_seconds: float = Field(1.0, ge=0, le=60)
    query_memory_bytes: int = Field(128 << 20, ge=32 << 20)
    query_threads: int = Field(2, ge=1, le=64)

    def settings(self) -> LogDbSettings:
        """Return the section as the store takes it."""
        plain = self.model_dump(exclude={"retention_days"})
        return LogDbSettings(retention_ns=int(self.retention_days * DAY_NS), **plain)
