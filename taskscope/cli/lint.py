"""``taskscope logs lint``."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
from msgspec.structs import asdict

from configfile.duration import parse_duration
from taskscope.cli import client, output

_PAGE: Final = 5000
_READ_BYTES: Final = 1 << 20


@click.command("lint")
@click.argument("query", nargs=-1)
@click.option("--since", default="1h", show_default=True, metavar="SPAN", help="How far back to look: 15m, 2h, 7d.")  # fmt: skip
@click.option("-n", "--lines", "limit", type=click.IntRange(1), default=20_000, show_default=True, help="Most records judged, the newest.")  # fmt: skip
@click.option("--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None, help="Judge a log file instead of what is stored.")  # fmt: skip
@click.option("--min-score", type=click.IntRange(0, 100), default=0, help="End with 1 if an application has less.")  # fmt: skip
@client.server_option
@client.json_option
def lint(query: tuple[str, ...], since: str, limit: int, file: Path | None, min_score: int, server: str, *, as_json: bool) -> int:  # fmt: skip
    """Score how consistent each application's log lines are, and say what to change.

    Looked at is what is stored, or a file of any form that Taskscope reads. A score of 100 means
    that each line has a time and a level of its own, a message, one service name, a trace id, and
    could be parsed.
    """
    from logship.lint import lint as judge

    documents = _from_file(file, limit) if file is not None else _stored(server, " ".join(query), _span(since), limit)  # fmt: skip
    verdicts = judge(documents)
    if as_json:
        output.print_json({"applications": [{**asdict(v), "advice": [asdict(a) for a in v.advice]} for v in verdicts]})  # fmt: skip
    elif not verdicts:
        click.echo("no records", err=True)
    else:
        _print(verdicts)
    return 1 if any(verdict.score < min_score for verdict in verdicts) else 0


def _print(verdicts: Any) -> None:
    names = list(verdicts[0].shares)
    rows = [
        [output.clean(v.app) or "-", str(v.score), str(v.lines), *(f"{v.shares[name]:.0%}" for name in names)]
        for v in verdicts
    ]  # fmt: skip
    output.table(["APP", "SCORE", "LINES", *(name.upper() for name in names)], rows, right=["SCORE", "LINES", *(name.upper() for name in names)])  # fmt: skip
    for verdict in verdicts:
        for advice in verdict.advice:
            share = f" {advice.share:.0%}" if advice.share else ""
            click.echo(f"\n{output.clean(verdict.app) or '-'}: {advice.what}{share}: {advice.text}")
            if advice.example:
                click.echo(f"    {output.clean(advice.example)}")


def _span(text: str) -> float:
    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no span; it looks like 15m, 2h or 7d", param_hint="--since") from error  # fmt: skip


def _stored(server: str, query: str, span_seconds: float, limit: int) -> Iterator[Mapping[str, Any]]:  # fmt: skip
    cursor, start = "", time.time() - span_seconds
    while limit > 0:
        page = client.get(server, "/api/logs/search", query=query, start=start, limit=min(limit, _PAGE), cursor=cursor)  # fmt: skip
        yield from (record["document"] for record in page["records"])
        limit -= len(page["records"])
        cursor = page.get("cursor") or ""
        if not cursor or not page["records"]:
            return


def _from_file(file: Path, limit: int) -> Iterator[Mapping[str, Any]]:
    """Yield what the parser makes of a file's lines, as documents."""
    import orjson

    from logship import ecs
    from logship.parse.batch import Origin
    from logship.parse.parser import Parser
    from model.task import ContainerID, TaskID, TaskIdentity
    from storage.logdb.document import own_fields

    identity = TaskIdentity("", "", "", "", file.name, "", TaskID(file.name), ContainerID(""))
    parser, origin = Parser(None, wrapping="auto"), Origin(identity, file.name, "stdout", "task")
    at, left = 0, b""
    with file.open("rb") as stream:
        while limit > 0 and (data := left + (stream.read(_READ_BYTES))):
            ended = len(data) - len(left) < _READ_BYTES
            whole = data if ended else data[: data.rfind(b"\n") + 1] or data
            parsed = parser.parse(whole, at, origin, time.time_ns(), closing=ended, final=ended)
            for batch in parsed.batches:
                for raw in ecs.documents(batch)[:limit]:
                    document = orjson.loads(raw)
                    limit -= 1
                    own = own_fields(orjson.dumps(document.pop("fields", {})))
                    named = own.get("fields.service.name") or own.get("fields.service") or file.name
                    yield {**document, **own, "service.name": named}
            left, at = data[parsed.end - at :], parsed.end
            if ended:
                return
