"""The ``storage`` and ``logdb`` sections have working defaults and refuse nonsense."""

from pathlib import Path

import pytest

from configfile.document import load
from configfile.validate import validate
from model.errors import ConfigError
from storage.config import LogDbConfig, StorageConfig
from storage.logdb.settings import LogDbSettings
from storage.tsdb.settings import TsdbSettings


def test_the_defaults_are_the_stores_own() -> None:
    """Without a word in the file the stores are as their settings say."""
    assert StorageConfig().tsdb_settings() == TsdbSettings()
    assert LogDbConfig().settings() == LogDbSettings()


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Each wrong setting is named with its line."""
    path = tmp_path / "storage.yml"
    path.write_text("retention_day: 3\nblock_hours: 0\nmax_series: many\n")

    with pytest.raises(ConfigError) as caught:
        validate(load(path), StorageConfig)

    assert [(p.line, p.key) for p in caught.value.problems] == [
        (1, "retention_day"),
        (2, "block_hours"),
        (3, "max_series"),
    ]
    assert "did you mean retention_days?" in str(caught.value)


def test_settings_are_made_from_days_and_hours(tmp_path: Path) -> None:
    """Days and hours become ms."""
    path = tmp_path / "storage.yml"
    path.write_text(
        "retention_days: 0.5\nblock_hours: 4\nretention_bytes: 1000\nexemplars: {max: 7}\n"
    )

    settings = validate(load(path), StorageConfig).tsdb_settings()

    assert (settings.retention_ms, settings.block_ms) == (43_200_000, 14_400_000)
    assert settings.retention_bytes == 1000
    assert settings.max_exemplars == 7
