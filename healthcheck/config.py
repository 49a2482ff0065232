"""The section ``healthcheck:`` of the configuration file; Mesos' words and defaults."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from configfile.pattern import compile_pattern
from configfile.validate import Section
from healthcheck.check import Check, CheckType, Policy, parse_status_ranges, shell
from healthcheck.select import DeclaredCheck, TaskMatch
from model.health import CheckKind

_DEFAULT = Policy()
Seconds = Annotated[float, Field(ge=0)]
Interval = Annotated[float, Field(ge=0.5)]
Count = Annotated[int, Field(ge=1)]


class MatchConfig(Section):
    """Which tasks a check is for: all that is given must fit. ``*`` and ``?`` stand for any text."""

    app: str = ""
    task_name: str = ""
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not (self.app or self.task_name or self.namespace or self.labels):
            raise ValueError('names no task; give app, task_name, namespace or labels (app: "*")')
        return self


class _CheckConfig(Section):
    """What all checks have."""

    match: MatchConfig
    name: str = ""
    kind: CheckKind = CheckKind.LIVENESS
    delay_seconds: Seconds = _DEFAULT.delay_seconds
    grace_period_seconds: Seconds = _DEFAULT.grace_period_seconds
    interval_seconds: Interval = _DEFAULT.interval_seconds
    timeout_seconds: Interval = _DEFAULT.timeout_seconds
    max_consecutive_failures: Count = _DEFAULT.max_consecutive_failures
    success_threshold: Count = _DEFAULT.success_threshold

    def policy(self) -> Policy:
        """Return when to probe and when health changes."""
        return Policy(
            self.delay_seconds,
            self.grace_period_seconds,
            self.interval_seconds,
            self.timeout_seconds,
            self.max_consecutive_failures,
            self.success_threshold,
        )


class HttpCheckConfig(_CheckConfig):
    """An HTTP or HTTPS probe of the task's address."""

    type: Literal["http", "https"]
    path: Annotated[str, Field(pattern=r"^/[^\s]*$")] = "/"
    port: Annotated[int, Field(ge=0, lt=65536)] = 0
    status: str = "200-399"
    body_regex: str = ""
    verify_certificate: bool = False

    @field_validator("status")
    @classmethod
    def _ranges(cls, value: str) -> str:
        parse_status_ranges(value)
        return value

    @field_validator("body_regex")
    @classmethod
    def _pattern(cls, value: str) -> str:
        compile_pattern(value)
        return value

    def check(self) -> Check:
        """Return the check."""
        return Check(
            self.name or self.type,
            CheckType(self.type),
            self.kind,
            self.policy(),
            self.port,
            self.path,
            parse_status_ranges(self.status),
            self.body_regex,
            self.verify_certificate,
        )


class TcpCheckConfig(_CheckConfig):
    """A connection to the task's address."""

    type: Literal["tcp"]
    port: Annotated[int, Field(ge=0, lt=65536)] = 0

    def check(self) -> Check:
        """Return the check."""
        return Check(self.name or self.type, CheckType.TCP, self.kind, self.policy(), self.port)


class CommandCheckConfig(_CheckConfig):
    """A command inside the task's container; on the host for tasks that have none."""

    type: Literal["command"]
    command: str | tuple[str, ...]

    @field_validator("command")
    @classmethod
    def _given(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("is empty; give a command line or a list")
        return value

    def check(self) -> Check:
        """Return the check."""
        argv = shell(self.command) if isinstance(self.command, str) else self.command
        return Check(self.name or self.type, CheckType.COMMAND, self.kind, self.policy(), argv=argv)


CheckConfig = Annotated[
    HttpCheckConfig | TcpCheckConfig | CommandCheckConfig, Field(discriminator="type")
]


class HealthcheckConfig(Section):
    """Checks of tasks, beside those that their own labels declare."""

    checks: tuple[CheckConfig, ...] = ()

    def declared(self) -> tuple[DeclaredCheck, ...]:
        """Return the checks as the manager takes them."""
        return tuple(
            DeclaredCheck(
                TaskMatch(
                    one.match.app, one.match.task_name, one.match.namespace, one.match.labels
                ),
                one.check(),
            )
            for one in self.checks
        )
