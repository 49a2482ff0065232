"""Hashes of label sets."""

import numpy as np
import pytest

from model.labels import LabelTable
from promql.hash import label_hashes, xxh64

# from the XXH64 specification's own test vectors and reference implementation, seed 0
VECTORS = [
    ("", 0xEF46DB3751D8E999),
    ("a", 0xD24EC4F1A98C6E5B),
    ("abc", 0x44BC2CF5AD770999),
    ("Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
]


@pytest.mark.parametrize(("text", "digest"), VECTORS)
def test_xxh64_is_the_published_one(text: str, digest: int) -> None:
    """Short ends, words of four and eight bytes, and stripes of 32."""
    rows = np.frombuffer(text.encode() * 3, dtype=np.uint8).reshape(3, len(text))

    assert xxh64(rows).tolist() == [digest] * 3


def test_label_sets_are_hashed_as_lengths_and_texts() -> None:
    """Sorted by name, absent labels left out; a long text has a length of four bytes."""
    table = LabelTable.from_labels([{"b": "x", "a": "yz"}, {"a": "v" * 300}, {}])
    texts = [b"\x01a\x02yz\x01b\x01x", b"\x01a\xff\x2c\x01\x00" + b"v" * 300, b""]
    wanted = [
        int(xxh64(np.frombuffer(text, dtype=np.uint8).reshape(1, len(text)))[0]) for text in texts
    ]

    assert label_hashes(table).tolist() == wanted
