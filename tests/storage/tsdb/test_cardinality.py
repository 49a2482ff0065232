"""Where series come from, and what limits keep out."""

import numpy as np
import pytest
from msgspec.structs import astuple, replace

from model.errors import StorageError
from model.labels import Labels
from model.samples import ScrapeBatch
from storage.tsdb.stats import Dropped
from tests.storage.tsdb.opened import START_MS, Opened


def of_target(instance: str, size: int) -> list[Labels]:
    """Return series of one target: half of ``requests``, half of ``errors``."""
    return [
        Labels.of(
            {
                "__name__": ("requests", "errors")[i % 2],
                "job": "shop",
                "instance": instance,
                "path": f"/{i}",
            }
        )
        for i in range(size)
    ]


def test_counts_are_prometheus_s(opened: Opened) -> None:
    """Names, values, pairs and bytes are counted as Prometheus's status page counts them."""
    for instance, size in (("a:1", 6), ("bb:1", 3)):
        layout = opened.db.layout(of_target(instance, size))
        opened.db.append(ScrapeBatch(layout, START_MS + 15_000, np.arange(size, dtype=float)))

    found = opened.db.cardinality(limit=2)

    assert astuple(found.head_stats)[:2] == (9, 2 + 1 + 2 + 6)
    assert (found.head_stats.min_time, found.head_stats.max_time) == (START_MS + 15_000,) * 2
    assert found.series_count_by_metric_name == (("requests", 5), ("errors", 4))
    assert found.label_value_count_by_label_name == (("path", 6), ("__name__", 2))
    assert found.memory_in_bytes_by_label_name == (("__name__", 64), ("job", 36))
    assert found.series_count_by_label_value_pair == (("job=shop", 9), ("instance=a:1", 6))
    assert found.dropped_by_target == ()


def test_an_empty_store_counts_nothing(opened: Opened) -> None:
    """There are no times where there are no samples."""
    found = opened.db.cardinality()

    assert astuple(found.head_stats) == (0, 0, 0, None, None)
    assert found.series_count_by_label_value_pair == ()


def test_one_target_too_large_is_named_and_the_rest_goes_on(opened: Opened) -> None:
    """A target above its limit is refused by name; series it has already and other targets are not."""
    opened.settings = replace(opened.settings, max_series_per_target=5)
    opened.again()
    known = opened.db.layout(of_target("a:1", 5))

    with pytest.raises(
        StorageError, match=r"target shop/a:1 has 5 series and offers 2 more: the limit of 5"
    ):
        opened.db.layout(of_target("a:1", 7))
    with pytest.raises(StorageError, match="target shop/b:1 has 0 series and offers 6 more"):
        opened.db.series(of_target("b:1", 6))

    assert opened.db.layout(of_target("a:1", 5)) == known
    assert len(opened.db.series(of_target("c:1", 5))) == 5
    assert opened.db.cardinality().dropped_by_target == (
        Dropped("shop/b:1", "max_series_per_target", 6),
        Dropped("shop/a:1", "max_series_per_target", 2),
    )


def test_the_limit_in_all_names_who_was_refused(opened: Opened) -> None:
    """Above the limit in all nothing new is taken, and the targets that offered it are named."""
    opened.settings = replace(opened.settings, max_series=8)
    opened.again()
    opened.db.layout(of_target("a:1", 6))

    with pytest.raises(StorageError, match="the limit of 8 series is reached"):
        opened.db.layout([*of_target("b:1", 3), *of_target("a:1", 6)])

    assert opened.db.cardinality().dropped_by_target == (Dropped("shop/b:1", "max_series", 3),)
    assert opened.db.stats().series == 6
