"""What an operator can say about the lines themselves: formats, redaction, limits, metrics, numeric fields."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from configfile.pattern import compile_pattern
from configfile.validate import Section
from logship.match import NAMES, TaskMatch
from logship.parse.formats import FORMATS
from logship.redact_rules import RULES, own_rule
from model.catalog import CATALOG
from model.log import LEVEL_NAMES

if (
    TYPE_CHECKING
):  # they bring the parsers, which a command that only reads the configuration need not have
    from logship.derive.log_metric import LogMetric
    from logship.limits.limit import Limit
    from logship.policy import Parsing
    from logship.redact import Redactor

LevelName = Literal["trace", "debug", "info", "warn", "error", "fatal"]
DEFAULT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RULE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# labels that the series of a task have anyway
_TAKEN: Final = frozenset({"cluster", "host", "framework", "namespace", "app", "task_name", "task_id", "container_id", "le", "__name__"})  # fmt: skip


class MatchConfig(Section):
    """Which tasks are meant; ``*`` stands for any characters, what is left out for every task."""

    cluster: str = "*"
    host: str = "*"
    framework: str = "*"
    namespace: str = "*"
    app: str = "*"
    task_name: str = "*"
    task_id: str = "*"
    container_name: str = "*"
    image: str = "*"

    def built(self) -> TaskMatch:
        """Return the condition."""
        return TaskMatch.of({n: p for n in NAMES if (p := getattr(self, n)) != "*"})


class FormatConfig(Section):
    """How lines of some tasks are read; a task's own label ``taskscope.logs.format`` stands above it."""

    match: MatchConfig = MatchConfig()
    format: str = "auto"
    multiline: bool = True

    @field_validator("format")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FORMATS:
            raise ValueError(f"{value!r} is no format; it is one of {', '.join(sorted(FORMATS))}")
        return value

    def built(self) -> "Parsing":
        """Return the decision."""
        from logship.policy import Parsing

        return Parsing(self.match.built(), FORMATS[self.format], self.multiline)


class RedactionConfig(Section):
    """Secrets that are replaced besides the built-in ones, and built-in rules that are switched off."""

    rules: dict[str, str] = Field(default_factory=dict)
    disable: tuple[str, ...] = ()

    @field_validator("rules")
    @classmethod
    def _patterns(cls, rules: dict[str, str]) -> dict[str, str]:
        for name, pattern in rules.items():
            if not _RULE_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no name of a rule; small letters, digits and _ make one"
                )
            try:
                own_rule(pattern)
            except ValueError as error:
                raise ValueError(f"{name}: {pattern!r} {error}") from error
        return rules

    @field_validator("disable")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in RULES:
                raise ValueError(f"{name!r} is no built-in rule; these are: {', '.join(RULES)}")
        return names

    def built(self) -> "Redactor":
        """Return the rules, compiled."""
        from logship.redact import Redactor

        return Redactor(
            {name: own_rule(pattern) for name, pattern in self.rules.items()}, self.disable
        )


class LimitConfig(Section):
    """What may pass of the logs of some tasks; what is left out is counted and said once a minute."""

    match: MatchConfig = MatchConfig()
    lines_per_second: float = Field(default=0.0, ge=0, le=1e7)
    burst: float = Field(default=0.0, ge=0, le=1e9)
    sample: float = Field(default=1.0, gt=0, le=1)
    keep_level: LevelName | Literal[""] = ""

    @model_validator(mode="after")
    def _limits(self) -> "LimitConfig":
        if self.burst and not self.lines_per_second:
            raise ValueError("burst needs lines_per_second")
        if self.burst and self.burst < self.lines_per_second:
            raise ValueError("burst must be at least lines_per_second")
        return self

    def built(self) -> "Limit":
        """Return the limit."""
        from logship.limits.limit import Limit

        return Limit(self.match.built(), self.lines_per_second, self.burst, self.sample, LEVEL_NAMES.index(self.keep_level))  # fmt: skip


class LogMetricConfig(Section):
    """A counter or histogram made of the records that match."""

    name: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
    type: Literal["counter", "histogram"]
    match: MatchConfig = MatchConfig()
    levels: tuple[LevelName, ...] = ()
    pattern: str = ""
    value: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    buckets: tuple[float, ...] = DEFAULT_BUCKETS
    help: str = ""

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        if value:
            compile_pattern(value)
        return value

    @field_validator("name")
    @classmethod
    def _own_name(cls, value: str) -> str:
        base = re.sub(r"_(?:bucket|sum|count)$", "", value)
        if value in CATALOG or base in CATALOG:
            raise ValueError(f"{value!r} is a metric of Taskscope's own; choose another name")
        return value

    @field_validator("labels")
    @classmethod
    def _labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for name in labels:
            if not _LABEL.fullmatch(name) or name.startswith("__"):
                raise ValueError(f"{name!r} is no name of a label")
            if name in _TAKEN:
                raise ValueError(
                    f"{name!r} is a label that every task's series have; choose another name"
                )
        return labels

    @field_validator("buckets")
    @classmethod
    def _rising(cls, buckets: tuple[float, ...]) -> tuple[float, ...]:
        if not buckets or list(buckets) != sorted(set(buckets)):
            raise ValueError("must be numbers that rise, like [0.1, 1, 10]")
        return buckets

    @model_validator(mode="after")
    def _fits(self) -> "LogMetricConfig":
        if self.type == "histogram" and not self.value:
            raise ValueError("a histogram needs value: a named group of its pattern, or a field")
        if self.type == "counter" and not self.name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {self.name}_total")
        return self

    def built(self) -> "LogMetric":
        """Return the metric."""
        from logship.derive.log_metric import LogMetric, compile_for_records

        pattern: Any = compile_for_records(self.pattern) if self.pattern else None
        levels = frozenset(LEVEL_NAMES.index(name) for name in self.levels)
        return LogMetric(self.name, self.type == "histogram", self.match.built(), pattern, levels, self.value, tuple(self.labels.items()), self.buckets, self.help)  # fmt: skip


NumberType = Literal["long", "integer", "short", "double", "float", "half_float", "unsigned_long"]
FieldName = Annotated[str, Field(pattern=r"^[^.\s][^\s]{0,199}$")]
