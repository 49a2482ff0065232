"""What an operator decided about the way of log lines through the agent."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from logship.derive.log_metric import LogMetric
from logship.ecs import NUMBERS
from logship.limits.limit import Limit
from logship.match import TaskMatch
from logship.parse.formats import Format
from model.task import TaskIdentity

NUMBER_TYPES: Final = ("long", "integer", "short", "double", "float", "half_float", "unsigned_long")


class Parsing(Struct, frozen=True):
    """How the lines of some tasks are read; None leaves it to detection."""

    match: TaskMatch
    format: Format | None = None
    multiline: bool | None = None


class Policy(Struct, frozen=True):
    """The decisions.

    Attributes:
        formats: How lines are read, by task; the first that matches. Labels stand above it.
        limits: What may pass, by task; the first that matches.
        metrics: What is counted.
        fields: Own fields that are numbers, and their types in Elasticsearch.
    """

    formats: tuple[Parsing, ...] = ()
    limits: tuple[Limit, ...] = ()
    metrics: tuple[LogMetric, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    def parsing(
        self, identity: TaskIdentity, form: Format, *, multiline: bool
    ) -> tuple[Format, bool]:
        """Return how a task's lines are read, given what its labels say."""
        for one in self.formats:
            if one.match(identity):
                chosen = one.format if one.format and form == "auto" else form
                return chosen, multiline and one.multiline is not False
        return form, multiline

    def document_types(self) -> dict[str, str]:
        """Return the declared fields by their names in documents, for an index template."""
        return {f"{NUMBERS}.{name}": kind for name, kind in self.fields.items()}
