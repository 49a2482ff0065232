"""What one probe gave."""

import errno
from typing import Final

from msgspec import Struct

from model.health import Probe

# These say that this side could not even try.
_OURS: Final = {
    errno.EMFILE: "files",  # no descriptors left
    errno.ENFILE: "files",
    errno.ENOBUFS: "memory",
    errno.ENOMEM: "memory",
    errno.EADDRNOTAVAIL: "ports",  # no local ports left
    errno.ENETUNREACH: "network",  # no network at all here
    errno.ENETDOWN: "network",
    errno.EACCES: "rights",
    errno.EPERM: "rights",  # a local firewall
}


class Outcome(Struct, frozen=True):
    """The result of one probe.

    Attributes:
        probe: ERROR where the prober itself failed.
        output: One sentence or what the command said; at most 4 KiB after the manager's cut.
        reason: For ERROR: one word for the metric, else "".
    """

    probe: Probe
    output: str
    reason: str = ""


def passed(output: str) -> Outcome:
    """Return a pass."""
    return Outcome(Probe.PASS, output)


def failed(output: str) -> Outcome:
    """Return a failure of the task."""
    return Outcome(Probe.FAIL, output)


def not_made(reason: str, output: str) -> Outcome:
    """Return an ERROR: the probe could not be made."""
    return Outcome(Probe.ERROR, output, reason)


def of_socket_error(error: OSError, target: str) -> Outcome:
    """Tell the far side's failures (refused, reset, no such host) from our own."""
    what = error.strerror or str(error) or type(error).__name__
    if error.errno in _OURS:
        return not_made(_OURS[error.errno], f"{target} could not be probed: {what}")
    return failed(f"{target}: {what}")
