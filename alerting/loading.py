"""From the configuration's patterns to rule groups, or to every problem in every file."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from alerting.query import parse
from alerting.rule import ExpressionParser, RuleGroup
from alerting.rule_file import RuleFile, groups_of, read
from alerting.rule_paths import SHIPPED_NAME, SHIPPED_RULES


def load_groups(
    files: Sequence[Path],
    parse_expression: ExpressionParser = parse,
    evaluation_interval_seconds: float = 15.0,
) -> tuple[RuleGroup, ...]:
    """Return all groups of all files.

    Raises:
        ConfigError: With every problem of every file.
    """
    return groups_of(
        [read_file(file, parse_expression, evaluation_interval_seconds) for file in files]
    )


def read_file(
    file: Path, parse_expression: ExpressionParser = parse, interval_seconds: float = 15.0
) -> RuleFile:
    """Return one file's groups or its problems."""
    found = read(file, parse_expression, int(interval_seconds * 1000))
    if file == SHIPPED_RULES:
        named = tuple(replace(group, file=SHIPPED_NAME) for group in found.groups)
        return replace(found, groups=named)
    return found
