"""``taskscope dashboards build|check``."""

from pathlib import Path

import click

from model.errors import ConfigError


@click.group()
def dashboards() -> None:
    """The generated Grafana dashboards."""


@dashboards.command("build")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def dashboards_build(directory: Path) -> None:
    """Write dashboards and Grafana's provisioning files below DIRECTORY."""
    from dashboards.build import build

    for path in build(directory):
        click.echo(path)


@dashboards.command("check")
def dashboards_check() -> None:
    """Check every dashboard: expressions parse and use known metrics, units and descriptions are set."""
    from dashboards.check import check

    if problems := check():
        raise ConfigError(problems)
    click.echo("all dashboards are good")
