"""``taskscope logs [QUERY]``."""

import re
import time
from collections.abc import Mapping
from typing import Any

import click

from taskscope.cli import client, output

_SPAN = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@click.argument("query", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on with new records as they come.")
@click.option("-n", "--lines", "limit", default=50, show_default=True, help="Most records shown.")
@click.option("--since", default="", metavar="SPAN", help="How far back to look: 15m, 2h, 7d.")
@client.server_option
@client.json_option
def logs(
    query: tuple[str, ...], limit: int, since: str, server: str, *, follow: bool, as_json: bool
) -> None:
    """Show records that match QUERY, oldest first.

    QUERY is like `app:shop level:(warn OR error) "connection refused" -stream:stderr`;
    a word alone is looked for in the text. Without QUERY all records match.
    """
    text = " ".join(query)
    start = time.time() - _span(since) if since else None
    page = client.get(server, "/api/logs/search", query=text, limit=limit, start=start)
    records = page["records"][::-1]
    for record in records:
        _print(record, as_json=as_json)
    if not follow:
        if not records and not as_json:
            click.echo("no records match", err=True)
        return
    newest = records[-1]["id"] if records else ""
    try:
        for name, data in client.events(server, "/api/logs/tail", query=text):
            if name == "records":
                import json

                for record in json.loads(data)["records"]:
                    if record["id"] != newest:
                        _print(record, as_json=as_json)
    except KeyboardInterrupt:
        return


def _span(text: str) -> float:
    parts = _SPAN.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise click.BadParameter(
            f"{text!r} is no span; it looks like 15m, 2h or 7d", param_hint="--since"
        )
    return float(sum(int(n) * _SECONDS[u] for n, u in parts))


def _print(record: Mapping[str, Any], *, as_json: bool) -> None:
    document = record["document"]
    if as_json:
        import json

        click.echo(json.dumps({"id": record["id"], **document}, ensure_ascii=False))
        return
    stamp = output.time_text(record["ts_ms"])[11:] + f".{record['ts_ms'] % 1000:03d}"
    level = str(document.get("log.level", ""))
    task = str(document.get("taskscope.task.name") or document.get("service.name", ""))
    first, *more = str(document.get("message", "")).split("\n")
    click.echo(
        f"{click.style(stamp, dim=True)} {click.style(task, fg='cyan')} {output.coloured(level or '-'):5} {output.clean(first)}"
    )
    for line in more:
        click.echo(f"    {output.clean(line)}")
