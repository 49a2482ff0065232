"""``taskscope logs -C``: what the same task said before and after each record found."""

from collections.abc import Sequence
from typing import Final

from taskscope.cli import client
from taskscope.cli.log_lines import LinePrinter, Record

MOST: Final = 500


def show(server: str, records: Sequence[Record], lines: int, printer: LinePrinter) -> None:
    """Print the records with so many others of their task around each; those that meet are one group."""
    found = frozenset(record["id"] for record in records)
    groups: list[list[Record]] = []
    of_record: dict[str, list[Record]] = {}
    for record in records:
        if record["id"] in of_record and _reaches(of_record[record["id"]], record, lines):
            continue  # enough of what is around it is known already
        around = client.get(
            server, "/api/logs/context",
            id=record["id"], ts_ns=record["ts_ns"], before=lines, after=lines,
        )  # fmt: skip
        window = [*around["before"], record, *around["after"]]
        group = next((of_record[r["id"]] for r in window if r["id"] in of_record), None)
        if group is None:
            group = []
            groups.append(group)
        for one in window:
            if one["id"] not in of_record:
                group.append(one)
                of_record[one["id"]] = group
    for number, group in enumerate(groups):
        if number or printer.count:
            printer.rule()
        printer.print(group, found=found)


def _reaches(group: Sequence[Record], record: Record, lines: int) -> bool:
    """Tell whether a group has all that is wanted behind a record."""
    ids = [one["id"] for one in group]
    return len(ids) - 1 - ids.index(record["id"]) >= lines
