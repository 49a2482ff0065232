"""From the configuration's patterns to rule groups, or to every problem in every file."""

from collections.abc import Sequence
from pathlib import Path

from alerting.rule import ExpressionParser, RuleGroup
from alerting.rule_file import RuleFile, groups_of, read
from alerting.shipped import SHIPPED_RULES
from model.errors import Problem


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
    parse_expression: ExpressionParser,
    evaluation_interval_seconds: float = 15.0,
) -> tuple[RuleGroup, ...]:
    """Return all groups of all files.

    Raises:
        ConfigError: With every problem of every file.
    """
    return groups_of([_read(file, parse_expression, evaluation_interval_seconds) for file in files])


def check(files: Sequence[Path], parse_expression: ExpressionParser) -> list[Problem]:
    """Return every problem of rule files; none if they are good."""
    return [problem for file in files for problem in _read(file, parse_expression, 15.0).problems]


def _read(file: Path, parse_expression: ExpressionParser, interval_seconds: float) -> RuleFile:
    return read(file, parse_expression, int(interval_seconds * 1000))
