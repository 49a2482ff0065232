"""Addresses to listen on."""

from typing import Final

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def split_listen(listen: str, example: str = "127.0.0.1:9800") -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9800`` or ``[::1]:9800``.

    Raises:
        ValueError: If it is no address, or not a loopback one.
    """
    host, sign, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not sign or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{listen!r} is no address; it looks like {example}")
    if host not in LOOPBACK:
        raise ValueError(
            f"{host or 'every address'!r} is not loopback; there are no logins yet, so only 127.0.0.1, localhost and [::1] are served"
        )
    return host, int(port)
