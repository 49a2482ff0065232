"""TCP: a connection that is accepted is a pass."""

import socket
import time

from healthcheck.prober.outcome import Outcome, failed, of_socket_error, passed


def probe_tcp(address: str, port: int, timeout_seconds: float) -> Outcome:
    """Connect and hang up."""
    target = f"{address}:{port}"
    began = time.monotonic()
    try:
        with socket.create_connection((address, port), timeout=timeout_seconds):
            took = time.monotonic() - began
            return passed(f"{target} accepted the connection after {took * 1000:.0f} ms")
    except TimeoutError:
        return failed(f"{target} did not accept the connection within {timeout_seconds:g} s")
    except OSError as error:
        return of_socket_error(error, target)
