"""From the configuration's patterns to rule groups, or to every problem in every file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alerting.query import parse
from alerting.rule import ExpressionParser, RuleGroup
from alerting.rule_file import RuleFile, groups_of, read
from alerting.shipped import SHIPPED_NAME, SHIPPED_RULES


def files_of(patterns: Sequence[str], directory: Path, *, shipped: bool) -> list[Path]:
    """Return the rule files that patterns name, relative ones below a directory; the shipped one first.

    A name without wildcards is returned also if there is no such file, so that reading it says so.
    """
    found = [SHIPPED_RULES] if shipped else []
    for pattern in patterns:
        path = Path(pattern)
        base, rest = (
            (Path(path.anchor), str(path.relative_to(path.anchor)))
            if path.anchor
            else (directory, pattern)
        )
        if any(c in pattern for c in "*?["):
            found.extend(sorted(base.glob(rest)))
        else:
            found.append(base / rest)
    return list(dict.fromkeys(found))


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
