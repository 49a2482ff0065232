"""``taskscope check config FILE`` and ``taskscope check rules FILE...``."""

from pathlib import Path

import click

from model.errors import ConfigError


@click.group()
def check() -> None:
    """Judge files without running anything: all problems at once, each with its place; exit code 2 if there are any."""


@check.command("config")
@click.argument("file", type=click.Path(path_type=Path))
def check_config(file: Path) -> None:
    """Judge a configuration file and the rule files it names."""
    from taskscope.config import load_config

    config = load_config(file)
    _rules([str(p) for p in config.rule_paths()])
    click.echo(f"{file}: good")


@check.command("rules")
@click.argument("files", nargs=-1, required=True)
def check_rules(files: tuple[str, ...]) -> None:
    """Judge rule files."""
    _rules(list(files))


def _rules(files: list[str]) -> None:
    from alerting.check import check as judge

    if problems := judge([Path(file) for file in files]):
        raise ConfigError(problems)
    for file in files:
        click.echo(f"{file}: good")
