"""What a query looked at, step by step; the same is compared with a real Prometheus in tests/web."""

import numpy as np
import pytest

from model.labels import Labels
from model.samples import ScrapeBatch
from promql.engine import Engine
from promql.tally import Tally
from tests.fakes.store import MemoryStore

MINUTE = 60_000


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Give three series with a sample each minute, from 0 to 20."""
    made = MemoryStore()
    layout = made.layout([Labels.of({"__name__": "m", "i": i}) for i in "abc"])
    for k in range(21):
        made.append(ScrapeBatch(layout, k * MINUTE, np.arange(3.0) + k))
    return made


@pytest.mark.parametrize(
    ("query", "looked_at", "read"),
    [
        ("m", [3, 3, 3], [3, 3, 3]),
        ("m + m", [6, 6, 6], [6, 6, 6]),
        ("sum(rate(m[5m]))", [15, 15, 15], [15, 6, 6]),
        ("m @ 600", [3, 3, 3], [3, 0, 0]),
        ("rate(m[5m] @ 600)", [15, 15, 15], [15, 0, 0]),
        ("max_over_time(sum(m)[4m:1m])", [12, 12, 12], [12, 6, 6]),
        ("sum_over_time(rate(m[2m])[2m:1m])", [12, 12, 12], [9, 6, 6]),
        ("m offset 1h", [0, 0, 0], [0, 0, 0]),
        ("1", [0, 0, 0], [0, 0, 0]),
    ],
)
def test_samples_of_each_step(
    store: MemoryStore, query: str, looked_at: list[int], read: list[int]
) -> None:
    """At 10, 12 and 14 minutes; the answer is the same as without counting."""
    tally, engine = Tally(), Engine()
    steps = 10 * MINUTE, 14 * MINUTE, 2 * MINUTE
    counted = engine.range(store, query, *steps, tally=tally)

    assert np.broadcast_to(tally.looked_at, (3,)).tolist() == looked_at
    assert np.broadcast_to(tally.read, (3,)).tolist() == read
    plain = engine.range(store, query, *steps)
    assert repr(plain.value) == repr(counted.value)
    assert plain.stats == counted.stats
