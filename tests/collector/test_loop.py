"""The loop that appends the series of all sources."""

from collections.abc import Iterable

import numpy as np
import pytest
from msgspec import Struct, field
from prometheus_client import CollectorRegistry

from collector.loop import CollectionLoop
from collector.metrics import CollectorMetrics
from model.errors import StorageError
from model.labels import Labels
from model.samples import NO_SAMPLE, ScrapeBatch, SeriesBlock, is_stale
from tests.fakes.clock import FakeClock
from tests.fakes.store import Done, MemoryStore

A = Labels.of({"__name__": "a"})
B = Labels.of({"__name__": "b"})
NAN = float(NO_SAMPLE[0])


class Blocks(Struct):
    """A source that gives what the test puts in."""

    blocks: list[SeriesBlock] = field(default_factory=list)

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        return self.blocks


class Broken:
    """A source that raises."""

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        raise RuntimeError("broken")


def shown(store: MemoryStore, labels: Labels) -> list[object]:
    """Return a series' values in time order; ``stale`` for stale markers."""
    points = sorted(store.samples.get(labels, {}).items())
    return ["stale" if is_stale(np.array([v])).all() else float(v) for _, v in points]


def block(labels: tuple[Labels, ...], *values: float, key: str = "k") -> SeriesBlock:
    """Return a block; NO_SAMPLE's bits must not pass through a list."""
    column = np.array(values, dtype=np.float64)
    column[np.isnan(column)] = NO_SAMPLE[0]
    return SeriesBlock(key, labels, column)


def loop_over(
    source: Blocks, store: MemoryStore
) -> tuple[CollectionLoop, FakeClock, CollectorRegistry]:
    """Return a loop over one source."""
    clock, registry = FakeClock(), CollectorRegistry()
    return (
        CollectionLoop({"s": source}, store, clock, CollectorMetrics(registry)),
        clock,
        registry,
    )


BOTH = (A, B)
ONLY_A = (A,)


@pytest.mark.parametrize(
    ("rounds", "a", "b"),
    [
        ([block(BOTH, 1, 2), block(BOTH, 3, 4)], [1, 3], [2, 4]),
        ([block(BOTH, 1, 2), block(ONLY_A, 3)], [1, 3], [2, "stale"]),  # another shape
        ([block(BOTH, 1, 2), block(BOTH, 3, NAN)], [1, 3], [2, "stale"]),  # no sample now
        ([block(BOTH, 1, NAN), block(BOTH, 3, NAN)], [1, 3], []),  # never had one
        ([block(BOTH, 1, 2), None], [1, "stale"], [2, "stale"]),  # the thing is gone
        ([block(BOTH, 1, NAN), None], [1, "stale"], []),
        ([block(BOTH, 1, 2), None, None, block(BOTH, 5, 6)], [1, "stale", 5], [2, "stale", 6]),
    ],
)
def test_what_is_gone_gets_one_stale_marker(
    rounds: list[SeriesBlock | None], a: list[object], b: list[object]
) -> None:
    """Each round is one collection; None is a round without the block."""
    source, store = Blocks(), MemoryStore()
    loop, clock, _ = loop_over(source, store)

    for one in rounds:
        source.blocks = [one] if one else []
        loop.collect()
        clock.advance(15)

    assert shown(store, A) == a
    assert shown(store, B) == b


def test_a_broken_source_does_not_stop_the_others() -> None:
    """A source that raises is counted, the next one is still asked."""
    store, registry = MemoryStore(), CollectorRegistry()
    loop = CollectionLoop(
        {"broken": Broken(), "good": Blocks([block(ONLY_A, 7)])},
        store,
        FakeClock(),
        CollectorMetrics(registry),
    )

    loop.collect()

    assert shown(store, A) == [7]
    failed = {"source": "broken", "reason": "failed"}
    assert registry.get_sample_value("taskscope_collector_errors_total", failed) == 1
    assert registry.get_sample_value("taskscope_collector_series", {"source": "good"}) == 1


class FullStore(MemoryStore):
    """A store that refuses until told otherwise."""

    full = True

    def append(self, batch: ScrapeBatch) -> Done:
        if self.full:
            raise StorageError("disk full")
        return super().append(batch)


def test_a_full_store_is_counted_and_comes_back() -> None:
    """While the store refuses, the loop goes on and counts; afterwards samples are stored again."""
    store = FullStore()
    loop, clock, registry = loop_over(Blocks([block(ONLY_A, 1)]), store)

    loop.collect()
    store.full = False
    clock.advance(15)
    loop.collect()

    assert shown(store, A) == [1]
    name = "taskscope_collector_append_failures_total"
    assert registry.get_sample_value(name, {"source": "s"}) == 1


def test_the_thread_collects_at_once_and_stops() -> None:
    """After start the first samples come without waiting an interval; stop is safe twice."""
    import time

    store = MemoryStore()
    loop, _, _ = loop_over(Blocks([block(ONLY_A, 1)]), store)
    loop.stop()
    loop, _, _ = loop_over(Blocks([block(ONLY_A, 1)]), store)

    loop.start()
    deadline = time.monotonic() + 5
    while not store.samples and time.monotonic() < deadline:
        time.sleep(0.005)
    loop.stop()
    loop.stop()

    assert shown(store, A) == [1]
