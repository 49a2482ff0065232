"""From agent to server and back."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logship import ecs, wire
from model.log import Delivery, LogBatch
from tests.fakes.store import Done
from tests.logship.harness import parse, wrap

TRACE = "0af7651916cd43dd8448eb211c80319c"


def batch() -> LogBatch:
    """Return a batch with a bit of everything."""
    data = wrap(f'{{"msg":"a","trace_id":"{TRACE}","x":1}}\n') + wrap("ERROR b\n")
    return parse(data, wrapping="json-file").batches[0]


class Store:
    """Takes batches; refuses the second record of each."""

    def __init__(self) -> None:
        self.batches: list[LogBatch] = []

    def append(self, batch: LogBatch) -> tuple[Delivery, Done]:
        self.batches.append(batch)
        return Delivery(np.array([201, 400], dtype=np.int16), {1: "no"}), Done()


def test_batch_is_the_same_on_the_other_side() -> None:
    """Its documents are equal byte for byte, its positions too."""
    sent = batch()
    store = Store()

    answer = wire.decode_deliveries(wire.ingest(wire.encode([sent]), store))

    (got,) = store.batches
    assert ecs.documents(got) == ecs.documents(sent)
    assert (got.source_id, got.end_offset) == (sent.source_id, sent.end_offset)
    assert [(list(d.status), d.reasons) for d in answer] == [([201, 400], {1: "no"})]


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
@example(at=86, change=b"\x11\x88\x0c")  # a line feed in a trace id
@example(at=397, change=b"H\x12")  # a flag that does not exist
def test_damaged_body_is_refused_or_read(at: int, change: bytes) -> None:
    """Whatever happens to a body, it is read within its bounds or refused with a ValueError."""
    body = wire.encode([batch()])
    at %= len(body)
    damaged = body[:at] + change + body[at + len(change) :]

    try:
        decoded = wire.decode(damaged)
    except ValueError:
        return
    for one in decoded:
        assert len(ecs.documents(one)) == len(one)


def test_body_that_says_it_is_huge_is_refused() -> None:
    """A bomb is not unpacked."""
    import zstandard

    bomb = wire.MAGIC + zstandard.compress(b"\0" * (wire.BODY_BYTES_MAX + 1))

    with pytest.raises(ValueError, match="the most is"):
        wire.decode(bomb)
