"""``taskscope query EXPRESSION``."""

import sys

import click

from taskscope.cli import client, output, series


@click.command()
@click.argument("expression")
@click.option(
    "--time",
    "at",
    default="",
    metavar="TIME",
    help="When: seconds since the epoch or RFC 3339; now if left out.",
)
@click.option("--start", default="", metavar="TIME", help="With --end and --step: a range query.")
@click.option("--end", default="", metavar="TIME", help="End of a range query.")
@click.option("--step", default="", metavar="SPAN", help="Step of a range query, e.g. 15s.")
@client.server_option
@client.json_option
def query(
    expression: str, at: str, start: str, end: str, step: str, server: str, *, as_json: bool
) -> None:
    """Evaluate EXPRESSION now, at --time, or over a range.

    A terminal gets the labels that tell the series apart and rounded values; a pipe gets every
    label and digit, tab-separated.
    """
    if start or end or step:
        if not (start and end and step):
            raise click.UsageError("a range query needs --start, --end and --step")
        answer = client.get(
            server, "/api/v1/query_range", query=expression, start=start, end=end, step=step
        )
    else:
        answer = client.get(server, "/api/v1/query", query=expression, time=at)
    for note in [*answer.get("warnings", []), *answer.get("infos", [])]:
        click.echo(note, err=True)
    data = answer["data"]
    if as_json:
        output.print_json(data)
    elif data["resultType"] in ("scalar", "string"):
        click.echo(data["result"][1])
    elif not data["result"]:
        click.echo("no series match", err=True)
    else:
        _print(data["result"], is_range="values" in data["result"][0])


def _print(result: list[series.Series], *, is_range: bool) -> None:
    if not sys.stdout.isatty():
        output.table(*series.full_table(result))
    elif is_range:
        header, rows = series.range_table(result)
        output.table(header, rows, right=header[1:] if len(result) <= 8 else ["VALUE"])
    else:
        output.table(*series.instant_table(result), right=["VALUE"])
