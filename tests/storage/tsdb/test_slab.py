"""Readers beside a writer see whole columns or none."""

import threading
import time

import numpy as np

from storage.tsdb.slab import KEPT, WIDTH, Slab

SERIES = 400


def test_no_reader_sees_a_torn_column() -> None:
    """While columns are written, dropped and slots are freed, each column read is whole and in its place."""
    lock = threading.RLock()
    slab = Slab(lock)
    refs = np.arange(SERIES, dtype=np.int64)
    lookup = np.arange(SERIES, dtype=np.int32)
    stop = threading.Event()
    problems: list[str] = []
    reads = [0]

    def write() -> None:
        slot, ts = slab.allocate(refs), 0
        while not stop.is_set():
            with lock:
                ts += 1
                if slab.count.data[slot] == WIDTH:
                    if ts % 3:
                        slab.drop(slot, WIDTH - KEPT)
                    else:
                        slab.free(slot)
                        other = slab.allocate(refs[: SERIES // 2] + 10_000)  # takes the same rows
                        slot = slab.allocate(refs)
                        slab.free(other)
                slab.write(slot, ts, np.full(SERIES, float(ts)))
            if not ts % 16:
                time.sleep(0)

    def read() -> None:
        while not stop.is_set() and not problems:
            for part in slab.gather(refs, lookup, 0, 2**62):
                reads[0] += 1
                wanted = part.ts_ms[part.ts_row].astype(np.float64)
                if not np.array_equal(part.values, wanted):
                    problems.append(f"{part.values} at {wanted}")
                if (np.diff(part.ts_ms, axis=1) != 1).any():
                    problems.append(f"columns are missing: {part.ts_ms}")

    threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(2))]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join()

    assert problems == []
    assert reads[0] > 50


def test_rows_are_used_again() -> None:
    """What a slot gives back the next one takes, and extents grow together."""
    slab = Slab(threading.RLock())
    slots = [slab.allocate(np.arange(n * 100, n * 100 + 100)) for n in range(5)]
    top = len(slab.values)
    for slot in (slots[1], slots[3], slots[2]):
        slab.free(slot)

    slab.allocate(np.arange(1000, 1300))

    assert slab.used_rows == 500
    assert len(slab.values) == top


def test_growing_keeps_what_is_there() -> None:
    """A slab that outgrows its first rows and slots keeps every sample."""
    slab = Slab(threading.RLock())
    for target in range(150):
        refs = np.arange(target * 50, target * 50 + 50)
        slab.write(slab.allocate(refs), 1000 + target, np.full(50, float(target)))
    refs = np.arange(150 * 50)

    parts = slab.gather(refs, refs.astype(np.int32), 0, 10_000)

    assert sum(len(p.pos) for p in parts) == 150 * 50
    for part in parts:
        assert np.array_equal(part.values[:, 0], part.pos // 50)


def test_targets_with_equal_columns_share_a_part() -> None:
    """Series of many targets come in one matrix where the same columns are in range."""
    slab = Slab(threading.RLock())
    for target in range(40):
        slot = slab.allocate(np.arange(target * 10, target * 10 + 10))
        for column in range(6):
            slab.write(slot, column * 15_000 + target, np.full(10, float(column)))
    refs = np.arange(400)

    parts = slab.gather(refs, refs.astype(np.int32), 15_000, 60_500)

    assert [p.values.shape for p in parts] == [(400, 4)]
    assert parts[0].ts_ms.shape == (40, 4)
    assert parts[0].dense
