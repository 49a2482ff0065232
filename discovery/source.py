"""What every runtime's source offers the registry."""

from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct, field

from model.task import Task

KEPT_RUNS: Final = 50  # per task; restarts are counted beyond them


class SourceStatus(Struct, frozen=True):
    """How a source is doing, for start-up text and ``doctor``.

    Attributes:
        name: ``docker``, ``process``, ``agents`` (on the server), ``push`` (on an agent).
        ok: Whether the runtime answered when last asked.
        message: One sentence for people.
        counts: Known tasks by state.
        failures: Failed questions so far.
    """

    name: str
    ok: bool
    message: str
    counts: dict[str, int] = field(default_factory=dict)
    failures: int = 0


class RuntimeSource(Protocol):
    """Knows the tasks of one runtime.

    ``start`` returns after the first listing, or after about a second without one; later failures are
    retried inside. ``stop`` is safe twice and before ``start``.
    """

    name: str

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to look; ``changed`` is called, from any thread, after each change."""
        ...

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End all threads."""
        ...

    def snapshot(self) -> frozenset[Task]:
        """Return what is known, without waiting."""
        ...

    def status(self) -> SourceStatus:
        """Return how it is doing, without waiting."""
        ...


def count_states(tasks: frozenset[Task]) -> dict[str, int]:
    """Count tasks by state, by the states' names."""
    counts: dict[str, int] = {}
    for task in tasks:
        word = task.status.state.value
        counts[word] = counts.get(word, 0) + 1
    return counts
