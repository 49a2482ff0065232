"""Requests that look like earlier ones are read at a glance, and only those."""

import cramjam
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.labels import Labels
from storage.interface import Written
from storage.remote.columns import RemoteWriteError
from storage.remote.encode import LayoutEncoder
from storage.remote.receiver import RemoteWriteReceiver
from tests.fakes.store import MemoryStore

NOW = 1_767_225_600_000
ROWS = [Labels.of({"__name__": f"metric_{n:03d}", "job": "x", "z": "z" * 70}) for n in range(150)]


class Taking:
    """A receiver that has seen a request three times."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.receiver = RemoteWriteReceiver(self.store, CollectorRegistry())
        for step in range(3):
            assert self.send(self.encoded(step)) == Written(150)

    def encoded(self, step: int) -> bytes:
        return LayoutEncoder(ROWS).encode(NOW + step, np.arange(150.0) + step)[0]

    def send(self, data: bytes) -> Written:
        return self.receiver.ingest(bytes(cramjam.snappy.compress_raw(data)))


def test_values_and_times_are_those_of_the_request() -> None:
    """Not those of the one it looks like."""
    taking = Taking()
    assert taking.send(taking.encoded(9)) == Written(150)

    assert all(
        taking.store.samples[row] == {NOW + step: n + step for step in (0, 1, 2, 9)}
        for n, row in enumerate(ROWS)
    )


def test_another_series_in_the_middle_is_seen() -> None:
    """With the same length, the same beginning and the same end."""
    taking = Taking()
    taking.send(taking.encoded(3).replace(b"metric_077", b"metric_x77"))

    other = Labels.of({**dict(ROWS[77]), "__name__": "metric_x77"})
    assert taking.store.samples[other] == {NOW + 3: 80.0}
    assert NOW + 3 not in taking.store.samples[ROWS[77]]


def test_samples_with_times_of_their_own() -> None:
    """Each series keeps its time."""
    taking = Taking()
    pieces = [
        LayoutEncoder([row]).encode(NOW + 10 + n, np.array([1.0]))[0] for n, row in enumerate(ROWS)
    ]
    taking.send(b"".join(pieces))

    assert all(NOW + 10 + n in taking.store.samples[row] for n, row in enumerate(ROWS))


def test_a_time_that_is_none_is_refused() -> None:
    """Also where the rest is as it always was."""
    taking = Taking()
    data = bytearray(taking.encoded(4))
    data[-1] |= 0x80

    with pytest.raises(RemoteWriteError, match="has no time"):
        taking.send(bytes(data))
