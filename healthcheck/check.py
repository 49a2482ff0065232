"""What a check is: where to probe, what counts as a pass, and when health changes.

The words are those of Mesos (mesos.proto, HealthCheck), with a success threshold and a kind.
"""

from enum import Enum

from msgspec import Struct

from model.health import CheckKind


class CheckType(Enum):
    """How a check probes."""

    HTTP = "http"
    HTTPS = "https"
    TCP = "tcp"
    COMMAND = "command"


class Policy(Struct, frozen=True):
    """When to probe and what a series of results means; the defaults are Mesos'.

    Attributes:
        delay_seconds: From the start of a run to the first probe.
        grace_period_seconds: From the start of a run; until the first pass, failures in it do not count.
        interval_seconds: Between the starts of two probes.
        timeout_seconds: After which a probe has failed.
        max_consecutive_failures: That make a task unhealthy.
        success_threshold: Consecutive passes that make it healthy.
    """

    delay_seconds: float = 15.0
    grace_period_seconds: float = 10.0
    interval_seconds: float = 10.0
    timeout_seconds: float = 20.0
    max_consecutive_failures: int = 3
    success_threshold: int = 1


class Check(Struct, frozen=True):
    """One check of a task.

    Attributes:
        name: Unique within the task.
        type: How it probes.
        kind: Whether it says that the task works or that it should get traffic.
        policy: When it probes and when health changes.
        port: The task's port, as seen inside its network; 0 for its only one.
        path: HTTP(S): request target.
        status: HTTP(S): ranges of status codes that pass, both ends included.
        body_regex: HTTP(S): RE2 pattern that must be found in the body, "" for any body.
        verify_certificate: HTTPS: whether a bad certificate fails; tasks mostly have their own.
        argv: COMMAND: program and arguments.
        on_host: COMMAND: run on the host, not in the container; only for the operator's own checks.
    """

    name: str
    type: CheckType
    kind: CheckKind = CheckKind.LIVENESS
    policy: Policy = Policy()
    port: int = 0
    path: str = "/"
    status: tuple[tuple[int, int], ...] = ((200, 399),)
    body_regex: str = ""
    verify_certificate: bool = False
    argv: tuple[str, ...] = ()
    on_host: bool = False


def parse_status_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Return the ranges that ``200-399`` or ``200, 204, 300-303`` stand for.

    Raises:
        ValueError: If it is none.
    """
    ranges = []
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        if not low.isdigit() or not (high or low).isdigit():
            raise ValueError("is no list of status codes; write it like 200-399 or 200,204")
        first, last = int(low), int(high or low)
        if not 100 <= first <= last <= 599:
            raise ValueError("has a status code outside 100 to 599, or a range that runs backwards")
        ranges.append((first, last))
    return tuple(ranges)


def shell(command: str) -> tuple[str, ...]:
    """Return the argv that runs a command line, as Mesos and Docker's CMD-SHELL do."""
    return ("/bin/sh", "-c", command)
