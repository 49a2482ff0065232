"""How log records are printed: columns on a terminal, tabs in a pipe, one JSON object a line."""

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from taskscope.cli import output

Record = Mapping[str, Any]

# told apart on light and dark ground; red and yellow are for levels
_TASK_COLOURS: Final = (
    "cyan", "magenta", "green", "blue", "bright_cyan", "bright_magenta", "bright_green", "bright_blue",
)  # fmt: skip
_NARROW: Final = 100
_WIDEST_TASK: Final = 24
_LEAST_MESSAGE: Final = 32
_SEEN_MOST: Final = 50_000
_ID_LENGTH: Final = 6


class LinePrinter:
    """Prints each record once.

    Args:
        as_json: One JSON object a line.
        one_task: Leave the column of the task out: all records are of the same.
        marked: Finds in a message what is to stand out, None for nothing.
    """

    def __init__(
        self, *, as_json: bool, one_task: bool = False, marked: re.Pattern[str] | None = None
    ) -> None:
        self._as_json = as_json
        self._one_task = one_task
        self._marked = marked
        self._plain = not sys.stdout.isatty()
        self._seen: dict[str, None] = {}
        self._ids: dict[str, set[str]] = {}
        self._colours: dict[str, str] = {}
        self._width = 0
        self._day = datetime.now(UTC).astimezone().strftime("%Y-%m-%d")
        self.newest_ms = 0
        self.count = 0

    def print(self, records: Iterable[Record], *, found: frozenset[str] | None = None) -> None:
        """Print those that were not yet; with ``found``, records of other ids are context."""
        fresh = [record for record in records if record["id"] not in self._seen]
        self._seen.update(dict.fromkeys(record["id"] for record in fresh))
        for record in fresh:
            self._meet(record)
        lines: list[str] = []
        for record in fresh:
            self.newest_ms = max(self.newest_ms, record["ts_ms"])
            is_context = found is not None and record["id"] not in found
            self.count += not is_context
            lines += self._lines(record, is_context=is_context)
        while len(self._seen) > _SEEN_MOST:
            del self._seen[next(iter(self._seen))]
        if lines:
            click.echo("\n".join(lines))

    def rule(self) -> None:
        """Separate what follows from what was printed."""
        if not self._as_json:
            click.echo("--")

    def _meet(self, record: Record) -> None:
        """Learn who speaks, before the first of a batch is printed."""
        name, ident = _task_of(record["document"])
        self._ids.setdefault(name, set()).add(ident)
        self._colours.setdefault(ident, _TASK_COLOURS[len(self._colours) % len(_TASK_COLOURS)])
        widest = _WIDEST_TASK if _columns() >= _NARROW else _columns() // 5
        self._width = min(widest, max(self._width, output.cell_width(self._called(record))))

    def _called(self, record: Record) -> str:
        """Return the task's name; with the beginning of its id where several have that name."""
        name, ident = _task_of(record["document"])
        if len(self._ids.get(name, ())) > 1:
            return output.clean(f"{name} {ident[:_ID_LENGTH]}")
        return output.clean(name)

    def _lines(self, record: Record, *, is_context: bool) -> list[str]:
        document = record["document"]
        if self._as_json:
            more = {"context": True} if is_context else {}
            return [json.dumps({"id": record["id"], **more, **document}, ensure_ascii=False)]
        moment = datetime.fromtimestamp(record["ts_ms"] / 1000, UTC).astimezone()
        level = output.clean(str(document.get("log.level", ""))) or "-"
        message = str(document.get("message", "")).expandtabs(8).rstrip("\n").split("\n")
        message = [output.clean(line) for line in message]
        if self._plain:
            stamp = moment.isoformat(timespec="milliseconds")
            first = "\t".join([stamp, self._called(record), level, message[0]])
            return [first, *(f"    {line}" for line in message[1:])]
        lines = [*self._new_day(moment)]
        stamp = moment.strftime("%H:%M:%S")
        if _columns() >= _NARROW:
            stamp += f".{record['ts_ms'] % 1000:03d}"
        head = [click.style(stamp, dim=True)]
        indent = len(stamp) + 7
        if not self._one_task:
            name = output.cut(self._called(record), self._width)
            colour = self._colours[_task_of(document)[1]]
            padding = " " * (self._width - output.cell_width(name))
            head.append(click.style(name, fg=colour) + padding)
            indent += self._width + 1
        head.append(output.coloured(level) + " " * (5 - len(level)))
        quiet = is_context or level in ("debug", "trace")
        is_event = document.get("event.dataset") == "task.event"
        first, *others = self._wrapped(message, indent)
        lines.append(" ".join([*head, self._styled(first, quiet=quiet, is_event=is_event)]))
        lines += [self._styled(line, quiet=quiet, is_event=is_event) for line in others]
        return lines

    def _new_day(self, moment: datetime) -> list[str]:
        day = moment.strftime("%Y-%m-%d")
        if day == self._day:
            return []
        self._day = day
        return [click.style(f"{day} {moment:%A}", bold=True)]

    def _styled(self, line: str, *, quiet: bool, is_event: bool) -> str:
        if quiet:
            return click.style(line, dim=True)
        if is_event:
            return click.style(line, bold=True)
        if self._marked is None:
            return line
        return self._marked.sub(lambda m: click.style(m[0], bold=True, underline=True), line)

    def _wrapped(self, message: Sequence[str], indent: int) -> list[str]:
        """Return a message in lines that fit; all but the first begin below the message, or a little to the right."""
        room = _columns() - indent
        hang = " " * indent if room >= _LEAST_MESSAGE else "    "
        lines: list[str] = []
        for number, line in enumerate(message):
            if output.cell_width(line) <= (room if not number else _columns() - len(hang)):
                lines.append(line if not number else hang + line)
                continue
            margin = line[: len(line) - len(line.lstrip())] if number else ""
            parts = textwrap.wrap(
                line if number else "x" * indent + line,
                _columns(),
                initial_indent=hang if number else "",
                subsequent_indent=hang + margin,
                break_on_hyphens=False,
                drop_whitespace=True,
            ) or [""]  # fmt: skip
            lines += [parts[0][indent:], *parts[1:]] if not number else parts
        return lines


def _task_of(document: Mapping[str, Any]) -> tuple[str, str]:
    name = document.get("taskscope.task.name") or document.get("service.name", "")
    return str(name), str(document.get("taskscope.task.id", ""))


def _columns() -> int:
    return max(40, shutil.get_terminal_size().columns)
