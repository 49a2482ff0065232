"""``taskscope doctor``."""

from pathlib import Path

import click
from msgspec.structs import asdict

from taskscope.cli import client, output


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Configuration file (YAML).",
)
@client.json_option
def doctor(file: Path | None, *, as_json: bool) -> int:
    """Look at system, data folder, address, Docker, cgroups and Elasticsearch. The exit code is 1 if something is bad."""
    from taskscope.config import load_config
    from taskscope.doctor import Verdict, examine

    colours = {Verdict.GOOD: "green", Verdict.NOTE: "yellow", Verdict.BAD: "red"}
    found = []
    for finding in examine(load_config(file)):
        found.append(finding)
        if not as_json:
            mark = click.style(f"{finding.verdict.value:5}", fg=colours[finding.verdict])
            click.echo(f"{mark} {finding.what:13} {output.clean(finding.sentence)}")
    if as_json:
        output.print_json([asdict(f) | {"verdict": f.verdict.value} for f in found])
    return int(any(f.verdict is Verdict.BAD for f in found))
