"""``taskscope logs [QUERY]``."""

import http.client
import json
import time
import urllib.error
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

from configfile.duration import parse_duration
from model.errors import TaskscopeError
from taskscope.cli import client, output

_WIDEST_TASK: Final = 24
_AGAIN_SECONDS: Final = 2.0


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
    """Show the newest records that match QUERY, oldest first.

    QUERY is like `app:shop level:(warn OR error) "connection refused" NOT stream:stderr`;
    a word alone is looked for in the text. Without QUERY all records match. Fields: app, level,
    task_name, task_id, stream, host, image, trace_id and, as fields.NAME, the record's own;
    docs/logs.md has them all.

    `taskscope logs replay` sends records that a sink refused once more; the word itself is
    looked for with `taskscope logs -- replay`.
    """
    text = " ".join(query)
    start = time.time() - _span(since) if since else None
    printer = _Printer(as_json=as_json)
    try:
        # first the stream, then the search: what both give is shown once, and nothing falls between
        stream = client.events(server, "/api/logs/tail", query=text) if follow else None
        page = client.get(server, "/api/logs/search", query=text, limit=limit, start=start)
        printer.print(page["records"][::-1])
        if stream is not None:
            _follow(stream, server, text, printer)
    except KeyboardInterrupt:
        return
    if not page["records"] and not as_json:
        click.echo("no records match", err=True)


def _follow(stream: Iterable[client.Event], server: str, text: str, printer: "_Printer") -> None:
    """Print what comes, for ever; after a lost connection it goes on where it was."""
    place = ""
    while True:
        try:
            for event in stream:
                place = event.id or place
                if event.name == "problem":
                    raise TaskscopeError(json.loads(event.data)["error"])
                if event.name == "records":
                    printer.print(json.loads(event.data)["records"])
        except BrokenPipeError:
            raise  # our own reader has gone
        except (OSError, http.client.HTTPException):
            pass
        click.echo("the server has gone; going on as soon as it is back", err=True)
        stream = _again(server, text, place)


def _again(server: str, text: str, place: str) -> Iterable[client.Event]:
    while True:
        time.sleep(_AGAIN_SECONDS)
        try:
            return client.events(server, "/api/logs/tail", query=text, cursor=place)
        except TaskscopeError as error:
            if isinstance(error.__cause__, urllib.error.HTTPError):
                place = ""  # a store that was made anew does not know the old place


def _span(text: str) -> float:
    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no span; it looks like 15m, 2h or 7d", param_hint="--since"
        ) from error


class _Printer:
    """Prints each record once, in columns that grow with what is seen."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._seen: dict[str, None] = {}
        self._width = 0

    def print(self, records: Iterable[Mapping[str, Any]]) -> None:
        lines = []
        for record in records:
            if record["id"] in self._seen:
                continue
            self._seen[record["id"]] = None
            document = record["document"]
            if self._as_json:
                lines.append(json.dumps({"id": record["id"], **document}, ensure_ascii=False))
            else:
                lines += self._lines(record["ts_ms"], document)
        while len(self._seen) > 20_000:
            del self._seen[next(iter(self._seen))]
        if lines:
            click.echo("\n".join(lines))

    def _lines(self, ts_ms: int, document: Mapping[str, Any]) -> list[str]:
        task = output.clean(
            str(document.get("taskscope.task.name") or document.get("service.name", ""))
        )
        task = output.cut(task, _WIDEST_TASK)
        self._width = max(self._width, len(task))
        level = output.clean(str(document.get("log.level", "")) or "-")
        stamp = f"{output.moment_text(ts_ms)}.{ts_ms % 1000:03d}"
        first, *more = str(document.get("message", "")).split("\n")
        who = f"{click.style(stamp, dim=True)} {click.style(task.ljust(self._width), fg='cyan')}"
        how = output.coloured(level) + " " * (5 - len(level))
        return [
            f"{who} {how} {output.clean(first)}",
            *(f"    {output.clean(line)}" for line in more),
        ]
