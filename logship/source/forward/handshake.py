"""The shared key: HELO from the server, PING from the client, PONG from the server; both sides.

Digests are SHA-512 in hex over salt, host name, nonce and key (Fluentd Forward Protocol v1.5,
"Authentication and Authorization").
"""

import hashlib
import hmac
import os
from typing import Any, Final

import msgspec

from logship.source.forward.lenient import Decoder
from logship.source.forward.scanner import BadMessageError

SALT_BYTES: Final = 16
_encode = msgspec.msgpack.encode


def _digest(salt: bytes, host: bytes, nonce: bytes, key: bytes) -> str:
    return hashlib.sha512(salt + host + nonce + key).hexdigest()


def _bytes(value: Any) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value if isinstance(value, bytes) else b""  # fmt: skip


def _value_of(data: bytes) -> Any:
    """Return a value; Fluent Bit sends nonce and salt, any bytes, as texts."""
    try:
        return Decoder(data, raw_depth=2).decode()
    except ValueError as error:
        raise BadMessageError(str(error)) from error


class ServerHandshake:
    """The server's side, for one connection.

    Args:
        key: What the client has to know too.
        host: This server's name.
    """

    def __init__(self, key: bytes, host: str) -> None:
        self._key = key
        self._host = host
        self._nonce = os.urandom(SALT_BYTES)

    def helo(self) -> bytes:
        """Return what is said first."""
        return _encode(["HELO", {"nonce": self._nonce, "auth": b"", "keepalive": True}])

    def pong(self, data: bytes) -> tuple[bool, bytes]:
        """Return whether a PING knows the key, and the answer.

        Raises:
            BadMessageError: If it is no PING.
        """
        parts = _value_of(data)
        if not isinstance(parts, list) or len(parts) < 4 or parts[0] not in ("PING", b"PING"):
            raise BadMessageError("a PING with the shared key is expected first")
        host, salt, digest = map(_bytes, parts[1:4])
        right = _digest(salt, host, self._nonce, self._key).encode()
        if not hmac.compare_digest(right, digest):
            return False, _encode(["PONG", False, "shared_key mismatch", "", ""])
        own = _digest(salt, self._host.encode(), self._nonce, self._key)
        return True, _encode(["PONG", True, "", self._host, own])


class ClientHandshake:
    """The client's side, for one connection.

    Args:
        key: What the server has to know too.
        host: This client's name.
    """

    def __init__(self, key: bytes, host: str) -> None:
        self._key = key
        self._host = host
        self._salt = os.urandom(SALT_BYTES).hex()  # text: Fluent Bit takes nothing else
        self._nonce = b""
        self._wants_user = False

    def ping(self, data: bytes) -> bytes:
        """Return the answer to a HELO.

        Raises:
            BadMessageError: If it is none.
        """
        parts = _value_of(data)
        if not isinstance(parts, list) or len(parts) < 2 or parts[0] not in ("HELO", b"HELO") or not isinstance(parts[1], dict):  # fmt: skip
            raise BadMessageError("a HELO is expected first; the server has no shared key")
        self._wants_user = bool(parts[1].get("auth"))  # or is Fluent Bit, which always says so
        self._nonce = _bytes(parts[1].get("nonce", b""))
        digest = _digest(self._salt.encode(), self._host.encode(), self._nonce, self._key)
        return _encode(["PING", self._host, self._salt, digest, "", ""])

    def check(self, data: bytes) -> None:
        """Make sure of a PONG.

        Raises:
            BadMessageError: If the server refuses, or does not know the key itself.
        """
        parts = _value_of(data)
        if not isinstance(parts, list) or len(parts) < 5 or parts[0] not in ("PONG", b"PONG"):
            raise BadMessageError("a PONG is expected")
        if parts[1] is not True:
            user = "; a user and a password, which it may want, are not supported" if self._wants_user else ""  # fmt: skip
            raise BadMessageError(f"the server refuses: {str(parts[2])[:200]}{user}")
        right = _digest(self._salt.encode(), _bytes(parts[3]), self._nonce, self._key).encode()
        if not hmac.compare_digest(right, _bytes(parts[4])):
            raise BadMessageError("the server does not know the shared key")
