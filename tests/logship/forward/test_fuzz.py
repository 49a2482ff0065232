"""Whatever comes over the wire: nothing raises but what is meant to, nothing hangs, memory stays bounded."""

import gzip
import struct
import tracemalloc
from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logship.source.forward.handshake import ClientHandshake, ServerHandshake
from logship.source.forward.lenient import Decoder, EventTime, event_time
from logship.source.forward.message import UNPACKED_BYTES_MAX, decode, nanoseconds
from logship.source.forward.records import groups_of
from logship.source.forward.scanner import BadMessageError, Scanner, count

LIMIT = 1 << 20
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(), st.text(max_size=40), st.binary(max_size=40),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda v: st.one_of(st.lists(v, max_size=5), st.dictionaries(st.one_of(st.text(max_size=10), st.binary(max_size=5), st.integers(0, 9)), v, max_size=5)), max_leaves=20)  # fmt: skip
KEYS = st.sampled_from(["log", "message", "level", "time", "container_id", "container_name", "source", "stream", "partial_message", "partial_last", "service", "kubernetes", "trace_id", "x"])  # fmt: skip
RECORDS = st.dictionaries(KEYS, VALUES, max_size=6)
TIMES = st.one_of(VALUES, st.integers(0, 1 << 33), st.builds(lambda s, n: msgpack.ExtType(0, struct.pack(">II", s, n)), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1)))  # fmt: skip
OPTIONS = st.one_of(VALUES, st.dictionaries(st.sampled_from(["chunk", "size", "compressed", "x"]), st.one_of(VALUES, st.sampled_from(["gzip", "zstd", "text"])), max_size=3))  # fmt: skip
ENTRIES = st.lists(st.one_of(VALUES, st.tuples(TIMES, RECORDS)), max_size=6)


def pack(value: Any) -> bytes:
    """Return MessagePack as the reference library writes it."""
    packed: bytes = msgpack.packb(value)
    return packed


PACKED = ENTRIES.map(lambda entries: b"".join(map(pack, entries)))
MESSAGES = st.one_of(
    VALUES,
    st.tuples(st.one_of(st.text(), VALUES), TIMES, RECORDS),
    st.tuples(st.text(), TIMES, st.one_of(VALUES, RECORDS), OPTIONS),
    st.tuples(st.text(), ENTRIES, OPTIONS),
    st.tuples(st.text(), PACKED, OPTIONS),
    st.tuples(st.text(), PACKED.map(gzip.compress), st.just({"compressed": "gzip", "chunk": "c"})),
    st.tuples(st.text(), PACKED.map(zstandard.compress), st.just({"compressed": "zstd"})),
)


def understood(data: bytes) -> int:
    """Decode a message as the server does; return how many records it held, -1 for none."""
    try:
        message = decode(data)
    except BadMessageError:
        return -1
    if message is None:
        return -1
    groups = groups_of(message)
    for group in groups:
        assert all(len(text.encode()) >= len(text) for text in group.texts)
        assert len(group.texts) == len(group.times)
        assert all(-1 <= time < 1 << 63 for time in group.times)
        assert not group.owner.is_lines or len(group.streams) == len(group.texts)
        group.owner.key.encode()
    return sum(len(group.texts) for group in groups)


@given(MESSAGES)
@settings(max_examples=150)
def test_any_message_is_understood_or_refused(message: Any) -> None:
    """Also with values of every kind where others are expected; records are never lost silently."""
    number = understood(pack(message))

    if isinstance(message, tuple) and len(message) == 3 and isinstance(message[1], list):
        good = [
            e
            for e in message[1]
            if isinstance(e, (list, tuple)) and not isinstance(e, msgpack.ExtType) and len(e) == 2
        ]
        assert number == len(good)


@given(st.binary(max_size=300))
@example(b"\x92\xa1t\xc1")
@example(b"\x91" * 200)
@example(b"\x81" * 200)
@settings(max_examples=150)
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    """By the scanner and by both decoders."""
    for way in (Scanner(LIMIT).find, decode, lambda d: Decoder(d).decode(), ServerHandshake(b"k", "h").pong):  # fmt: skip
        with_value_error_only(way, data)
    with_value_error_only(ClientHandshake(b"k", "h").ping, data)
    with_value_error_only(ClientHandshake(b"k", "h").check, data)
    number, end = count(data)
    assert 0 <= end <= len(data)
    assert number <= len(data)


def with_value_error_only(way: Any, data: bytes) -> None:
    """Call with some bytes; ``BadMessageError`` is a ``ValueError``."""
    try:
        way(data)
    except ValueError:
        return


@given(MESSAGES, st.data())
@settings(max_examples=100)
def test_damaged_messages_are_understood_or_refused(message: Any, data: st.DataObject) -> None:
    """Cut at any byte, and with any byte changed."""
    whole = pack(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[cut] = data.draw(st.integers(0, 255))
    understood(whole[:cut])
    understood(bytes(changed))


@given(st.lists(VALUES, min_size=1, max_size=5), st.lists(st.integers(1, 50), min_size=1))
def test_scanner_finds_ends_whatever_comes_at_once(values: list[Any], sizes: list[int]) -> None:
    """The same as the reference library, in pieces of any size."""
    packed = [pack(value) for value in values]
    data = b"".join(packed)
    scanner, buffer, found, at, turn = Scanner(LIMIT), bytearray(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        turn += 1
        buffer += data[at : at + size]
        at += size
        while buffer and (end := scanner.find(buffer)) >= 0:
            found.append(bytes(buffer[:end]))
            del buffer[:end]

    assert found == packed
    assert count(data) == (len(values), len(data))


@given(VALUES)
def test_lenient_decoder_agrees_with_the_reference(value: Any) -> None:
    """On everything that is UTF-8; keys become texts."""
    expected = msgpack.unpackb(pack(value), strict_map_key=False, ext_hook=event_time)

    assert repr(Decoder(pack(value)).decode()) == repr(_texts(expected))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {k.decode("utf-8", "replace") if isinstance(k, bytes) else str(k): _texts(v) for k, v in value.items()}  # fmt: skip
    return [_texts(v) for v in value] if isinstance(value, list) else value


@given(TIMES)
def test_times_are_nanoseconds_or_none(time: Any) -> None:
    """Nothing beyond 64 bits, and nothing negative."""
    value = event_time(time.code, time.data) if isinstance(time, msgpack.ExtType) else time
    found = nanoseconds(value)

    assert -1 <= found < 1 << 63
    assert not isinstance(value, EventTime) or found == value


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1000,
        b"\xdf\xff\xff\xff\xff" + b"\xc0" * 1000,
        b"\xc6\xff\xff\xff\xff" + b"\xc0" * 1000,
        b"\x92\xa1t\xdb\x7f\xff\xff\xff",
        b"\xdd\x00\x0f\x00\x00" * 1000,
        pack(["t", gzip.compress(bytes(40 << 20), 1), {"compressed": "gzip"}]),
        pack(["t", b"".join([gzip.compress(bytes(4 << 20))] * 10), {"compressed": "gzip"}]),
        pack(["t", zstandard.compress(bytes(40 << 20)), {"compressed": "zstd"}]),
        pack(["t", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(40 << 20)), {"compressed": "zstd"}]),
        pack(["t", b"\x92\x00\x80" * 10, {"size": 1 << 40}]),
    ],
    ids=["array", "map", "bin", "str", "arrays", "gzip", "gzips", "zstd", "zstd without size", "size"],
)  # fmt: skip
def test_what_it_says_it_holds_costs_no_memory(data: bytes) -> None:
    """Lengths that are not there, and bombs: no more than what one message may unpack to."""
    tracemalloc.start()
    try:
        with_value_error_only(Scanner(LIMIT).find, data)
        understood(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 3 * UNPACKED_BYTES_MAX + (4 << 20)


@given(st.lists(st.sampled_from([b"\x92", b"\xa1t", b"\xdd\x00\x00\x10\x00", b"\xc4\x05", b"\xd7\x00", b"\x80"]), max_size=50))  # fmt: skip
def test_pieces_of_headers_are_gone_through_once(pieces: list[bytes]) -> None:
    """A byte at a time takes as many steps as bytes: nothing is looked at from its beginning again."""
    scanner, buffer = Scanner(LIMIT), bytearray()
    for byte in b"".join(pieces):
        buffer.append(byte)
        try:
            end = scanner.find(buffer)
        except BadMessageError:
            return
        assert end == -1 or end <= len(buffer)
        if end >= 0:
            del buffer[:end]
