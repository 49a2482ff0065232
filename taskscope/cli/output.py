"""How commands print: tables on a terminal, tabs in a pipe, JSON where asked."""

import json
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

STATE_COLOURS = {
    "running": "green", "healthy": "green", "finished": "blue", "staging": "cyan", "starting": "cyan",
    "restarting": "yellow", "paused": "yellow", "unknown": "yellow", "pending": "yellow", "warn": "yellow",
    "failed": "red", "unhealthy": "red", "lost": "red", "firing": "red", "error": "red", "fatal": "red",
}  # fmt: skip


def print_json(value: Any) -> None:
    """Print a value as JSON, indented on a terminal."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def coloured(word: str) -> str:
    """Colour a state, health or level; click drops colours where the output is no terminal."""
    colour = STATE_COLOURS.get(word.split(" ", 1)[0].lower())
    return click.style(word, fg=colour) if colour else word


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header; cut to the terminal's width, tab-separated in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(clean(click.unstyle(cell)) for cell in row))
        return
    columns = len(header)
    widths = [max([len(header[i]), *(_width(row[i]) for row in rows)]) for i in range(columns)]
    room = shutil.get_terminal_size().columns - 2 * (columns - 1)
    while sum(widths) > room and max(widths) > 12:
        widths[widths.index(max(widths))] -= 1
    click.echo(
        click.style(
            "  ".join(h.ljust(w)[:w] for h, w in zip(header, widths, strict=True)).rstrip(),
            bold=True,
        )
    )
    for row in rows:
        click.echo("  ".join(_fit(cell, w) for cell, w in zip(row, widths, strict=True)).rstrip())


def clean(text: str) -> str:
    """Make a task's text harmless for a terminal: control characters become visible."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in text)


def _width(cell: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in click.unstyle(cell))


def _fit(cell: str, width: int) -> str:
    if _width(cell) > width:
        return click.unstyle(cell)[: width - 1] + "…"
    return cell + " " * (width - _width(cell))


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


def time_text(ms: float) -> str:
    """Write a moment in local time."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
