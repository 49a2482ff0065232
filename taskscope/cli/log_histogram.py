"""``taskscope logs --histogram``: how many records over time, by level."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from taskscope.cli import client, output

ROWS: Final = 24
STEPS_MS: Final = tuple(
    1000 * seconds
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
)  # fmt: skip
_DAY_MS: Final = 86_400_000
_LEVELS: Final = ("fatal", "error", "warn", "info", "debug", "trace", "")
_COLOURS: Final = {"fatal": "magenta", "error": "red", "warn": "yellow", "info": "blue"}
_LEAST_BAR: Final = 10


def show(server: str, query: str, start_ms: int, end_ms: int, *, as_json: bool) -> int:
    """Print the counts of whole steps that cover a range, and return how many records there are."""
    step_ms = step_for(end_ms - start_ms)
    start_ms -= start_ms % step_ms
    buckets = max(1, -(-(end_ms - start_ms) // step_ms))
    end_ms = start_ms + buckets * step_ms
    found = client.get(
        server, "/api/logs/histogram", query=query, buckets=buckets,
        start=start_ms / 1000, end=(end_ms - 1) / 1000,
    )  # fmt: skip
    counts: Mapping[str, Sequence[int]] = found["counts"]
    if as_json:
        output.print_json({"step_ms": step_ms, **found})
    elif counts:
        (_bars if sys.stdout.isatty() else _tabs)(found["edges_ms"], counts)
    return sum(map(sum, counts.values()))


def step_for(span_ms: int) -> int:
    """Return the shortest usual step with which a span has few enough rows."""
    for step_ms in STEPS_MS:
        if span_ms <= ROWS * step_ms:
            return step_ms
    return _DAY_MS * -(-span_ms // (ROWS * _DAY_MS))


def _tabs(edges_ms: Sequence[int], counts: Mapping[str, Sequence[int]]) -> None:
    levels = [level for level in _LEVELS if level in counts]
    click.echo("\t".join(["time", "total", *(level or "none" for level in levels)]))
    for row, edge_ms in enumerate(edges_ms):
        cells = [counts[level][row] for level in levels]
        click.echo("\t".join([output.time_text(edge_ms), str(sum(cells)), *map(str, cells)]))


def _bars(edges_ms: Sequence[int], counts: Mapping[str, Sequence[int]]) -> None:
    levels = [level for level in _LEVELS if any(counts.get(level, ()))]
    totals = [sum(counts[level][row] for level in levels) for row in range(len(edges_ms))]
    stamps = stamps_of(edges_ms)
    most = max(totals)
    digits = len(f"{most:,}")
    # what the levels say in colour is said in signs where there is none
    signs = dict(zip(_LEVELS, "FEWi··─", strict=True))
    room = shutil.get_terminal_size().columns - len(stamps[0]) - digits - 3
    widest = max(_LEAST_BAR, room)
    for row, (stamp, total) in enumerate(zip(stamps, totals, strict=True)):
        bar, drawn, seen = "", 0, 0
        for level in levels:
            seen += counts[level][row]
            length = -(-seen * widest // most) - drawn  # whatever there is has a sign
            bar += _painted(signs[level] * length, level)
            drawn += length
        click.echo(f"{click.style(stamp, dim=True)}  {total:>{digits},} {bar}".rstrip())
    legend = [
        f"{_painted(signs[level], level)} {level or 'no level'} {sum(counts[level]):,}"
        for level in levels
    ]
    click.echo("  ".join(legend))


def _painted(text: str, level: str) -> str:
    return click.style(text, fg=_COLOURS.get(level), dim=level not in _COLOURS) if text else ""


def stamps_of(edges_ms: Sequence[Any]) -> list[str]:
    """Return the beginnings of the rows, as short as they can be told apart."""
    texts = [output.time_text(edge_ms) for edge_ms in edges_ms]
    if len({text[:10] for text in texts}) > 1:
        return [text[5:10] if all(t[11:] == texts[0][11:] for t in texts) else text[5:16] for text in texts]  # fmt: skip
    return [text[11:] if any(t[17:] != "00" for t in texts) else text[11:16] for text in texts]
