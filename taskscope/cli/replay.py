"""``taskscope logs replay``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from model.errors import OperatorError
from taskscope.cli import client, output

if TYPE_CHECKING:
    from taskscope.config import TaskscopeConfig

_REASON_WIDTH = 200


@click.command("replay")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Configuration file (YAML) of the Taskscope that refused records.",
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), envvar="TASKSCOPE_DATA_DIR",
    default=None, help="Its data folder.",
)  # fmt: skip
@click.option("--sink", default="", help="Only records that this sink refused.")
@click.option("--list", "only_list", is_flag=True, help="Only say what there is, by reason.")
@client.json_option
def replay(file: Path | None, data_dir: Path | None, sink: str, *, only_list: bool, as_json: bool) -> int:  # fmt: skip
    """Send log records that a sink refused (dead letters) once more, or list them.

    Each keeps its id: what is stored already is not stored twice, and a Taskscope may run
    meanwhile. What is refused again stays, with the reason of now. The exit code is 0 if nothing
    is left, 1 if something is.
    """
    from logship.replay import sinks_with_letters, summary
    from taskscope.config import load_config

    config = load_config(file, data_dir=data_dir)
    directory = config.data_path() / "logship"
    names = [name for name in sinks_with_letters(directory) if not sink or name == sink]
    if only_list:
        found = summary(directory, names)
        if as_json:
            output.print_json({"kinds": [asdict(k) for k in found.kinds], "unreadable": found.unreadable})  # fmt: skip
        elif not found.kinds:
            click.echo("no dead letters", err=True)
        else:
            rows = [
                [k.sink, str(k.letters), output.time_text(k.first_ns / 1e6), output.time_text(k.last_ns / 1e6), output.cut(k.reason, _REASON_WIDTH)]
                for k in found.kinds
            ]  # fmt: skip
            output.table(["SINK", "RECORDS", "FIRST", "LAST", "REASON"], rows, right=["RECORDS"], spare=["FIRST"])  # fmt: skip
        return 0
    return _replay(config, directory, names, as_json=as_json)


def _replay(config: "TaskscopeConfig", directory: Path, names: list[str], *, as_json: bool) -> int:
    from logship.deadletter import DeadLetters
    from logship.replay import Result, summary
    from logship.replay import replay as send_again
    from taskscope.clock import SystemClock
    from taskscope.elasticsearch import sinks_of

    sinks = {one.name: one for one in sinks_of(config)}
    whole: dict[str, Result] = {}
    counts: dict[str, int] = {}
    for kind in summary(directory, names).kinds:
        counts[kind.sink] = counts.get(kind.sink, 0) + kind.letters
    if missing := [name for name in names if name not in sinks and counts.get(name)]:
        raise OperatorError(
            f"{' and '.join(missing)} refused records, and the configuration has no such sink that can be reached from here; "
            "say which configuration with --config, or which sink with --sink"
        )  # fmt: skip
    for name in names:
        if name not in sinks:
            continue
        hidden = as_json or not counts.get(name)
        with click.progressbar(length=counts.get(name, 0), label=name, file=sys.stderr, hidden=hidden) as bar:  # fmt: skip
            whole[name] = send_again(DeadLetters(directory, name), sinks[name], SystemClock(), config.logship.request_timeout_seconds, bar.update)  # fmt: skip
        sinks[name].close()
    if as_json:
        output.print_json({name: asdict(result) for name, result in whole.items()})
    elif not counts:
        click.echo("no dead letters", err=True)
    for name, result in whole.items():
        if as_json:
            continue
        click.echo(f"{name}: {result.delivered} delivered, {result.there} were there already, {result.refused} refused again, {result.left} left")  # fmt: skip
        if result.unreadable:
            click.echo(f"{name}: {result.unreadable} lines cannot be read and are kept", err=True)
        if result.problem:
            click.echo(f"{name}: {result.problem}", err=True)
    return int(any(r.refused or r.left or r.unreadable for r in whole.values()))
