"""The shared key, as Fluentd and as Fluent Bit speak of it."""

import hashlib

import msgspec
import pytest

from logship.source.forward.handshake import ClientHandshake, ServerHandshake
from logship.source.forward.scanner import BadMessageError

NONCE = bytes(range(0xF0, 0x100))  # no UTF-8
KEY = b"secret"


def as_text(value: bytes) -> bytes:
    """Return bytes as a MessagePack text of up to 31 bytes, whatever they are."""
    return bytes([0xA0 | len(value)]) + value


def fluent_bit_helo() -> bytes:
    """Return what Fluent Bit 5.1 says first: nonce and a salt for passwords, asked for or not, as texts."""
    options = as_text(b"nonce") + as_text(NONCE) + as_text(b"auth") + as_text(NONCE[::-1])
    return b"\x92" + as_text(b"HELO") + b"\x82" + options


def test_ping_to_fluent_bit_has_texts_only_and_the_right_digest() -> None:
    """It takes no bytes for the salt, and its nonce is taken as it came."""
    client = ClientHandshake(KEY, "host-1")
    word, host, salt, digest, user, password = msgspec.msgpack.decode(client.ping(fluent_bit_helo()))  # fmt: skip

    assert (word, host, user, password) == ("PING", "host-1", "", "")
    assert isinstance(salt, str)
    assert digest == hashlib.sha512(salt.encode() + b"host-1" + NONCE + KEY).hexdigest()


def test_a_password_that_is_asked_for_is_named_when_it_is_refused() -> None:
    """Not before: Fluent Bit offers a salt to everybody."""
    client = ClientHandshake(KEY, "host-1")
    client.ping(fluent_bit_helo())
    refusal = msgspec.msgpack.encode(["PONG", False, "username/password mismatch", "", ""])

    with pytest.raises(BadMessageError, match="mismatch; a user and a password"):
        client.check(refusal)


def test_both_sides_know_each_other() -> None:
    """Ours with ours; with another key neither takes the other."""
    server, client = ServerHandshake(KEY, "agent"), ClientHandshake(KEY, "host-1")
    good, pong = server.pong(client.ping(server.helo()))
    client.check(pong)
    stranger = ClientHandshake(b"guess", "host-1")
    taken, refusal = server.pong(stranger.ping(server.helo()))

    assert good
    assert not taken
    with pytest.raises(BadMessageError, match="shared_key mismatch"):
        stranger.check(refusal)
