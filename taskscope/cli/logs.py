"""``taskscope logs [TASK...] [QUERY]``."""

import http.client
import json
import sys
import time
import urllib.error
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from model.errors import TaskscopeError
from storage.logquery import parse
from storage.logquery.highlight import marked
from taskscope.cli import client, log_context, log_histogram, log_target
from taskscope.cli.log_completion import complete
from taskscope.cli.log_lines import LinePrinter, Record
from taskscope.cli.moments import moment_ms

_NEWEST: Final = 50
_PAGE: Final = 5000
_AGAIN_SECONDS: Final = 2.0
_LATE_MS: Final = 60_000  # how late a record may be stored and still be found again
_HISTOGRAM_MS: Final = 3_600_000


@click.command()
@click.argument("words", nargs=-1, metavar="[TASK]... [QUERY]", shell_complete=complete)
@click.option("-f", "--follow", is_flag=True, help="Go on with new records as they come.")
@click.option(
    "-n",
    "--lines",
    "limit",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"The newest N records; without --since the default is {_NEWEST}, with it all.",
)
@click.option(
    "--since",
    default="",
    metavar="WHEN",
    help="From when on: 15m, 2h, 14:05, yesterday, 2026-01-31T12:00:00Z.",
)
@click.option("--until", default="", metavar="WHEN", help="Up to when; said like --since.")
@click.option(
    "-C",
    "--context",
    type=click.IntRange(min=0, max=log_context.MOST),
    default=0,
    metavar="N",
    help="Also N records of the same task before and after each.",
)
@click.option(
    "--histogram",
    is_flag=True,
    help="Count by time and level instead; of the last hour unless --since says otherwise.",
)
@client.server_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, also with -f.")
def logs(
    words: tuple[str, ...], limit: int | None, since: str, until: str, context: int, server: str,
    *, follow: bool, histogram: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show records of tasks, also of ended ones, oldest first.

    TASK is the name of a task, container or app, or the beginning of a task's id; several are
    interleaved by time. QUERY is like `level:(warn OR error) "connection refused" NOT
    stream:stderr`; a word alone is looked for in the messages. Without both all records match.
    Fields: app, level, task_name, task_id, stream, host, image, trace_id and, as fields.NAME, the
    record's own; docs/logs.md has them all.

    Ends with 0 if records were found, 1 if none match, 2 if what was asked is wrong.

    `taskscope logs lint` scores how consistent each application's lines are; `taskscope logs
    replay` sends records that a sink refused once more. For the words themselves say
    `taskscope logs -- replay`.
    """
    _judge(follow=follow, until=until, context=context, histogram=histogram)
    now_ms = time.time_ns() // 1_000_000
    start_ms, end_ms = _moment(since, "--since", now_ms), _moment(until, "--until", now_ms)
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        raise click.UsageError("--until is before --since")
    try:
        target = log_target.find(server, words)
        if target.remark and sys.stdout.isatty():
            click.echo(click.style(target.remark, dim=True), err=True)
        if histogram:
            end_ms = end_ms or now_ms
            start_ms = end_ms - _HISTOGRAM_MS if start_ms is None else start_ms
            count = log_histogram.show(server, target.query, start_ms, end_ms, as_json=as_json)
        else:
            search = _Search(server, target.query, start_ms, end_ms, limit)
            one_task = len(target.chosen) == 1 and target.chosen[0].startswith("task ")
            printer = LinePrinter(
                as_json=as_json, one_task=one_task, marked=marked(parse(target.own))
            )
            _print(search, printer, follow=follow, context=context)
            count = printer.count
    except KeyboardInterrupt:
        return
    if not count:
        if not as_json:
            hint = log_target.suggestion(server, target.unknown) if target.unknown else ""
            click.echo("; ".join(filter(None, ["no records match", hint])), err=True)
        raise SystemExit(1)


def _judge(*, follow: bool, until: str, context: int, histogram: bool) -> None:
    for wrong, what in (
        (follow and until, "--follow has no end: leave --until out"),
        (follow and context, "--context needs records that are there: leave --follow out"),
        (follow and histogram, "--histogram counts what is there: leave --follow out"),
        (context and histogram, "--histogram shows no records: leave --context out"),
    ):
        if wrong:
            raise click.UsageError(what)


def _moment(text: str, option: str, now_ms: int) -> int | None:
    try:
        return moment_ms(text, now_ms) if text else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


class _Search:
    """The records that were asked for, in batches, oldest first."""

    def __init__(
        self, server: str, query: str, start_ms: int | None, end_ms: int | None, limit: int | None
    ) -> None:
        self.server = server
        self.query = query
        self.start_ms = start_ms
        self._end_ms = end_ms
        self._limit = _NEWEST if limit is None and start_ms is None else limit

    def batches(self) -> Iterator[Sequence[Record]]:
        if self._limit is None:
            yield from self.between(self.start_ms, self._end_ms)
            return
        newest: list[Record] = []
        for page in self._pages("backward", self.start_ms, self._end_ms, self._limit):
            newest += page
        if newest:
            yield newest[: self._limit][::-1]

    def between(
        self, start_ms: int | None, end_ms: int | None = None
    ) -> Iterator[Sequence[Record]]:
        return self._pages("forward", start_ms, end_ms, None)

    def _pages(
        self, direction: str, start_ms: int | None, end_ms: int | None, limit: int | None
    ) -> Iterator[Sequence[Record]]:
        cursor = ""
        while limit is None or limit > 0:
            page = client.get(
                self.server, "/api/logs/search", query=self.query, direction=direction,
                start=None if start_ms is None else start_ms / 1000,
                end=None if end_ms is None else end_ms / 1000,
                limit=_PAGE if limit is None else min(limit, _PAGE), cursor=cursor,
            )  # fmt: skip
            yield page["records"]
            cursor = page["cursor"]
            if limit is not None:
                limit -= len(page["records"])
            if not cursor:
                return


def _print(search: _Search, printer: LinePrinter, *, follow: bool, context: int) -> None:
    began_ms = time.time_ns() // 1_000_000
    # first the stream, then the search: what both give is shown once, and nothing falls between
    stream = _tail(search) if follow else None
    for batch in search.batches():
        if context:
            log_context.show(search.server, batch, context, printer)
        else:
            printer.print(batch)
    if stream is not None:
        _follow(stream, search, printer, began_ms)


def _tail(search: _Search, place: str = "") -> Iterator[client.Event]:
    return client.events(search.server, "/api/logs/tail", query=search.query, cursor=place)


def _follow(
    stream: Iterable[client.Event], search: _Search, printer: LinePrinter, began_ms: int
) -> None:
    """Print what comes, for ever; after a lost connection it goes on where it was."""
    place = ""
    while True:
        try:
            for event in stream:
                place = event.id or place
                if event.name == "problem":
                    raise TaskscopeError(json.loads(event.data)["error"])
                if event.name == "records":
                    records = json.loads(event.data)["records"]
                    printer.print(sorted(records, key=lambda record: int(record["ts_ns"])))
        except BrokenPipeError:
            raise  # our own reader has gone
        except (OSError, http.client.HTTPException):
            pass
        click.echo("the server has gone; going on as soon as it is back", err=True)
        stream, is_behind = _again(search, place)
        if not is_behind:  # the stream begins now; what was written meanwhile is looked for
            for batch in search.between(max(began_ms, printer.newest_ms) - _LATE_MS):
                printer.print([r for r in batch if r["ts_ms"] >= began_ms])


def _again(search: _Search, place: str) -> tuple[Iterable[client.Event], bool]:
    """Return a new stream, and whether it goes on behind the place."""
    while True:
        time.sleep(_AGAIN_SECONDS)
        try:
            return _tail(search, place), bool(place)
        except TaskscopeError as error:
            if isinstance(error.__cause__, urllib.error.HTTPError):
                place = ""  # a store that was made anew does not know the old place
