"""How commands print: tables on a terminal, tabs in a pipe, JSON where asked."""

import json
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

STATE_COLOURS = {
    "running": "green", "healthy": "green", "finished": "blue", "staging": "cyan", "starting": "cyan",
    "restarting": "yellow", "paused": "yellow", "unknown": "yellow", "pending": "yellow", "warn": "yellow",
    "failed": "red", "unhealthy": "red", "lost": "red", "firing": "red", "error": "red", "fatal": "red",
}  # fmt: skip


_LEAST_WIDTH = 8


def print_json(value: Any) -> None:
    """Print a value as JSON, indented on a terminal."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def coloured(word: str) -> str:
    """Colour a state, health or level; click drops colours where the output is no terminal."""
    colour = STATE_COLOURS.get(word.split(" ", 1)[0].lower())
    return click.style(word, fg=colour) if colour else word


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print rows under a header; fitted to the terminal's width, tab-separated in a pipe.

    Args:
        header: Names of the columns.
        rows: Their cells; coloured ones may be among them.
        right: Columns of numbers, which end at the same place.
        spare: Columns that are left out where the terminal is too narrow, the first one first.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(clean(click.unstyle(cell)) for cell in row))
        return
    widths = [
        max([len(name), *(cell_width(row[i]) for row in rows)]) for i, name in enumerate(header)
    ]
    room = shutil.get_terminal_size().columns
    shown = list(range(len(header)))
    for name in spare:
        if sum(widths[i] + 2 for i in shown) - 2 > room:
            shown.remove(header.index(name))
    room -= 2 * (len(shown) - 1)
    while sum(widths[i] for i in shown) > room:
        widest = max(shown, key=widths.__getitem__)
        if widths[widest] <= _LEAST_WIDTH:
            break
        widths[widest] -= 1
    bold = [click.style(name, bold=True) for name in header]
    for row in [bold, *rows]:
        cells = [_fit(row[i], widths[i], right=header[i] in right) for i in shown]
        click.echo("  ".join(cells).rstrip())


def clean(text: str) -> str:
    """Make a task's text harmless for a terminal: control characters become visible."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in text)


def cell_width(cell: str) -> int:
    """Return how many columns a text takes on a terminal; colours take none."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in click.unstyle(cell))


def _fit(cell: str, width: int, *, right: bool = False) -> str:
    if cell_width(cell) > width:
        cell = cut(click.unstyle(cell), width)
    padding = " " * (width - cell_width(cell))
    return padding + cell if right else cell + padding


def cut(text: str, width: int) -> str:
    """Return the beginning of a text that fits into a width, with an ellipsis if something is missing."""
    if cell_width(text) <= width:
        return text
    while text and cell_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def bytes_text(count: float | None) -> str:
    """Write a size as people read it."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def age_text(seconds: float) -> str:
    """Write a duration as people read it: its two largest units."""
    seconds = int(max(seconds, 0))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size or (unit == "s" and not parts):
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
    return "".join(parts[:2])


def moment_text(ms: float) -> str:
    """Write a moment in local time, without its date if it is today's."""
    text = time_text(ms)
    today = time_text(time.time() * 1000)[:10]
    return text[11:] if text.startswith(today) else text


def me() -> str:
    """Return how this program is called here: ``taskscope`` if the shell finds it, else its path."""
    if shutil.which("taskscope"):
        return "taskscope"
    python = Path(sys.executable)
    script = python.with_name("taskscope")
    return os.path.relpath(script) if script.exists() else f"{python.name} -m taskscope"


def time_text(ms: float) -> str:
    """Write a moment in local time."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
