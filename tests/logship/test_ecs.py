"""The document of a record: valid JSON that says what the record says, whatever its text holds."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from logship import ecs
from tests.logship.harness import parse

TRACE = "0af7651916cd43dd8448eb211c80319c"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=12))  # fmt: skip
def test_documents_say_what_the_records_say(messages: list[str]) -> None:
    """Quotes, controls, NUL and any script come through; some records have fields and trace ids, some not."""
    lines = [{"msg": text, **({"n": row, "trace_id": TRACE} if row % 3 else {})} for row, text in enumerate(messages)]  # fmt: skip
    (batch,) = parse("".join(json.dumps(line) + "\n" for line in lines)).batches

    documents = [json.loads(document) for document in ecs.documents(batch)]

    assert [document["message"] for document in documents] == messages
    assert [document.get("fields", {}).get("n", 0) for document in documents] == [row if row % 3 else 0 for row in range(len(lines))]  # fmt: skip
    assert [document.get("trace.id") for document in documents] == [line.get("trace_id") for line in lines]  # fmt: skip
    body = ecs.bulk(batch, "index").splitlines()
    assert [json.loads(line) for line in body[1::2]] == documents
    assert [json.loads(line)["create"]["_id"] for line in body[0::2]] == [ecs.document_id(batch.source_id, row) for row in batch.offsets.tolist()]  # fmt: skip


def test_some_records_of_a_batch() -> None:
    """A part of a batch, in another order, gives the same documents as the whole."""
    (batch,) = parse('{"msg":"a","x":1}\nb\n{"msg":"c"}\n').batches
    whole = ecs.documents(batch)

    assert ecs.documents(batch.take(np.array([2, 0]))) == [whole[2], whole[0]]


@pytest.mark.parametrize("ns", [0, 999_999_999, 1_795_338_000_000_000_001, 9_223_372_036_000_000_000])  # fmt: skip
def test_times_have_nine_digits(ns: int) -> None:
    """Every nanosecond is written out, over the edge of a second too."""
    seconds, nanos = divmod(ns, 1_000_000_000)
    want = f"{np.datetime64(seconds, 's')}.{nanos:09d}Z".encode()

    assert ecs.timestamps(np.array([ns, ns, 0], dtype=np.int64)) == [want, want, b"1970-01-01T00:00:00.000000000Z"]  # fmt: skip


def test_offsets_of_different_length() -> None:
    """Ids are the same whether a record is alone in its batch or not."""
    (batch,) = parse("a\nb\nc\n").batches
    far = replace(batch, offsets=np.array([15, 16, 1 << 40], dtype=np.int64))

    ids = [
        json.loads(lines.split(b"\n")[0])["create"]["_id"]
        for lines in ecs.records(ecs.bulk(far, ""))
    ]
    assert ids == [ecs.document_id(batch.source_id, offset) for offset in (15, 16, 1 << 40)]
