"""The ``web:`` section."""

from pydantic import Field

from configfile.validate import Section


class WebConfig(Section):
    """How the HTTP server behaves; where it listens is ``listen:`` of the whole file.

    Attributes:
        allowed_hosts: Names beside localhost, 127.0.0.1 and [::1] under which the server is
            reached (behind a proxy), as ``name`` or ``name:port``.
        max_log_tails: Most log tails at once; each holds a thread.
    """

    allowed_hosts: tuple[str, ...] = ()
    max_log_tails: int = Field(default=16, ge=1, le=256)
