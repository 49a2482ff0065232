"""The ``web:`` and ``query:`` sections."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from configfile.duration import parse_duration
from configfile.validate import Section
from promql.text import format_duration
from web.api.gate import QueryLimits


def _seconds(value: Any) -> Any:
    """Read a duration in Prometheus's words, or a number of seconds."""
    return parse_duration(value) / 1000 if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds)]


class WebConfig(Section):
    """How the HTTP server behaves; where it listens is ``listen:`` of the whole file.

    Attributes:
        allowed_hosts: Names beside localhost, 127.0.0.1 and [::1] under which the server is
            reached (behind a proxy), as ``name`` or ``name:port``.
        max_log_tails: Most log tails at once; each holds a thread.
    """

    allowed_hosts: tuple[str, ...] = ()
    max_log_tails: int = Field(default=16, ge=1, le=256)


class QueryConfig(Section):
    """What one query, and all of them together, may use.

    Attributes:
        max_samples: Samples that one query may hold; one that needs more answers 422.
        max_series: Series that one query may read, summed over its selectors; 0 for any number.
        timeout: Longest time that a query may take, its waiting included, as ``2m`` or in
            seconds; one that takes longer answers 503. A request may ask for less with ``timeout``.
        max_concurrency: Queries that are evaluated at once; others wait for their turn.
        lookback_delta: How old a sample may be to count as now, as ``5m`` or in seconds.
    """

    max_samples: int = Field(default=50_000_000, ge=1)
    max_series: int = Field(default=0, ge=0)
    timeout: Seconds = Field(default=120.0, gt=0)
    max_concurrency: int = Field(default=8, ge=1, le=64)
    lookback_delta: Seconds = Field(default=300.0, gt=0)

    def limits(self) -> QueryLimits:
        """Return what the web server looks after; samples and lookback are the engine's."""
        return QueryLimits(self.max_concurrency, self.max_series, self.timeout)

    def flags(self) -> dict[str, str]:
        """Return the section by the names of Prometheus's flags."""
        return {
            "query.lookback-delta": format_duration(round(self.lookback_delta * 1000)),
            "query.max-concurrency": str(self.max_concurrency),
            "query.max-samples": str(self.max_samples),
            "query.timeout": format_duration(round(self.timeout * 1000)),
        }
