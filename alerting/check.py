"""Judges rule files without running them, for the command line."""

from collections.abc import Sequence
from pathlib import Path

from alerting.loading import read_file
from alerting.query import parse
from alerting.rule import ExpressionParser
from model.errors import Problem


def check(files: Sequence[Path], parse_expression: ExpressionParser = parse) -> list[Problem]:
    """Return every problem of rule files; none if they are good."""
    return [problem for file in files for problem in read_file(file, parse_expression).problems]
