"""What a chaos run over logs did and found."""

from msgspec import Struct, field

from tests.chaos.events import Events
from tests.chaos.logs_oracle import Verdict
from tests.chaos.writer import Writer


class Span(Struct):
    """Something that went on for a while; monotonic seconds. An agent is ready in between."""

    name: str
    start: float
    end: float = 0.0
    ready: float = 0.0


class Outcome(Struct):
    """A whole run.

    Attributes:
        writers: With their ledgers.
        kills: Each kill's place (``random`` or a failpoint), from the agent's start to its death.
        faults: Each fault's time.
        spoilt: How many requests met each fault of the backend.
        settle_seconds: How long the last agent took to catch up.
        indices: Backing indices at the end.
        verdict: Of the oracle.
    """

    writers: list[Writer | Events]
    kills: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)
    spoilt: dict[str, int] = field(default_factory=dict)
    settle_seconds: float = 0.0
    indices: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def well(self) -> bool:
        """Whether everything was looked at and nothing is amiss."""
        problems = any(writer.problem for writer in self.writers)
        return bool(self.verdict.checked) and not self.verdict.findings and not problems
