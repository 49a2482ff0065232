"""The section ``healthcheck:``."""

import pytest

from configfile.document import parse
from configfile.validate import validate
from healthcheck.check import Check, CheckType, Policy
from healthcheck.config import HealthcheckConfig
from healthcheck.select import DeclaredCheck, TaskMatch
from model.errors import ConfigError
from model.health import CheckKind

GOOD = """
checks:
- match: {app: shop}
  type: http
  path: /health
  port: 8080
  body_regex: UP
- name: alive
  match: {task_name: "db-*", labels: {tier: back}}
  type: command
  command: pg_isready
  kind: readiness
  interval_seconds: 5
- match: {app: cache}
  type: tcp
  port: 6379
- match: {namespace: pay}
  type: command
  command: [/app, check]
"""


def test_good_file() -> None:
    """Everything said is in the checks, everything else has Mesos' defaults."""
    declared = validate(parse(GOOD, "c.yml"), HealthcheckConfig).declared()

    assert declared == (
        DeclaredCheck(
            TaskMatch(app="shop"),
            Check("http", CheckType.HTTP, port=8080, path="/health", body_regex="UP"),
        ),
        DeclaredCheck(
            TaskMatch(task_name="db-*", labels={"tier": "back"}),
            Check(
                "alive",
                CheckType.COMMAND,
                CheckKind.READINESS,
                Policy(interval_seconds=5),
                argv=("/bin/sh", "-c", "pg_isready"),
            ),
        ),
        DeclaredCheck(TaskMatch(app="cache"), Check("tcp", CheckType.TCP, port=6379)),
        DeclaredCheck(
            TaskMatch(namespace="pay"),
            Check("command", CheckType.COMMAND, argv=("/app", "check")),
        ),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("type: http, status: 20x", "4:41: checks.0.status: is no list of status codes"),
        ("type: http, body_regex: '('", "checks.0.body_regex: is no valid RE2 pattern"),
        ("type: http, path: health", "checks.0.path"),
        ("type: http, port: 70000", "checks.0.port"),
        ("type: http, intervall_seconds: 5", "did you mean interval_seconds?"),
        ("type: icmp", "checks.0"),
        ("type: command, command: ''", "is empty; give a command line or a list"),
        ("type: tcp, max_consecutive_failures: 0", "greater than or equal to 1"),
    ],
)
def test_bad_file(line: str, problem: str) -> None:
    """Each mistake is said with its place."""
    text = f"\n\nchecks:\n- {{match: {{app: a}}, {line}}}\n"
    with pytest.raises(ConfigError) as raised:
        validate(parse(text, "c.yml"), HealthcheckConfig)

    assert problem in str(raised.value)
    assert all(p.line == 4 for p in raised.value.problems)


def test_match_must_name_something() -> None:
    """A check for everything must be meant."""
    with pytest.raises(ConfigError, match="names no task"):
        validate(parse("checks: [{match: {}, type: http}]", "c.yml"), HealthcheckConfig)
