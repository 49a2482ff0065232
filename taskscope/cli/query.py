"""``taskscope query EXPRESSION``."""

from collections.abc import Mapping
from typing import Any

import click

from taskscope.cli import client, output


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
    """Evaluate EXPRESSION now, at --time, or over a range."""
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
        _table(data["result"])


def _table(result: list[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for series in result for name in series["metric"]))
    # a column that says the same in every row says nothing
    shown = [
        n
        for n in names
        if len(result) == 1 or len({s["metric"].get(n, "") for s in result}) > 1 or n == "__name__"
    ]
    rows = []
    for series in result:
        points = [series["value"]] if "value" in series else series.get("values", [])
        labels = [output.clean(series["metric"].get(n, "")) for n in shown]
        rows += [[*labels, output.time_text(t * 1000), value] for t, value in points]
    output.table([*(n.upper().strip("_") for n in shown), "TIME", "VALUE"], rows)
