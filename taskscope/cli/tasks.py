"""``taskscope tasks [TASK]``."""

import time
from collections.abc import Mapping
from typing import Any

import click

from taskscope.cli import client, output

Shown = Mapping[str, Any]


@click.command()
@click.argument("task", required=False)
@click.option("--app", help="Only tasks of this app.")
@click.option("--running", is_flag=True, help="Leave out tasks that have ended.")
@client.server_option
@client.json_option
def tasks(task: str | None, app: str | None, server: str, *, running: bool, as_json: bool) -> None:
    """List tasks with state, health and usage, ended ones with how they ended.

    TASK is a task's name or the beginning of its id: then that one is shown whole.
    """
    found: list[Shown] = client.get(server, "/api/tasks")
    if app:
        found = [t for t in found if t["identity"]["app"] == app]
    if running:
        found = [t for t in found if not t["ended"]]
    if task:
        found = [t for t in found if t["identity"]["task_name"] == task or t["id"].startswith(task)]
    if as_json:
        output.print_json(found)
    elif not found:
        what = f"no task {task!r}" if task else "no tasks yet"
        click.echo(
            f"{what}; 'taskscope demo' starts some to look at, 'taskscope doctor' says what is looked for",
            err=True,
        )
    elif task:
        for one in found:
            _show(one)
    else:
        _list(found)
    if task and not found:
        raise SystemExit(1)


def _list(found: list[Shown]) -> None:
    now = time.time() * 1000
    rows = []
    for t in sorted(
        found, key=lambda t: (t["ended"], t["identity"]["app"], t["identity"]["task_name"])
    ):
        since = (
            t["ended_ms"] if t["ended"] and t["ended_ms"] else t["started_ms"] or t["created_ms"]
        )
        rows.append([
            t["identity"]["app"],
            t["identity"]["task_name"],
            output.coloured(t["state"]),
            "" if t["ended"] else output.coloured(t["health"]["status"]),
            _cpu(t),
            _memory(t),
            str(t["restarts"]),
            output.age_text((now - since) / 1000),
            how_it_ended(t["last_exit"]),
            t["id"][:12],
        ])  # fmt: skip
    output.table(
        ["APP", "TASK", "STATE", "HEALTH", "CPU", "MEMORY", "RESTARTS", "FOR", "LAST EXIT", "ID"],
        rows,
    )


def _show(t: Shown) -> None:
    identity = t["identity"]
    pairs = [
        ("task", f"{identity['task_name']} of {identity['app']} ({identity['namespace']})"),
        ("id", t["id"]),
        ("where", f"{identity['host']}, {identity['framework']}, cluster {identity['cluster']}"),
        ("image", identity["image"]),
        ("state", output.coloured(t["state"])),
        ("health", output.coloured(t["health"]["status"])),
        (
            "usage",
            f"{_cpu(t)} of a core, {_memory(t)}",
        ),
        ("logs", t["sandbox"] or t["log_driver"]),
    ]
    for key, value in pairs:
        if value:
            click.echo(f"{key:8} {value}")
    for check in t["health"]["checks"]:
        said = output.clean(check["output"].strip())[:100]
        click.echo(
            f"check    {check['check']}: {output.coloured(check['status'])}, {check['failures']} failures in a row {said}"
        )
    for run in t["runs"][-10:]:
        ended = (
            f"to {output.time_text(run['ended_ms'])}, {how_it_ended(run['exit'])}"
            if run["ended_ms"]
            else "still running"
        )
        click.echo(f"run {run['number']:<4} {output.time_text(run['started_ms'])} {ended}")
    click.echo()


def _cpu(t: Shown) -> str:
    return "-" if t["cpu_cores"] is None else f"{t['cpu_cores'] * 100:.1f}%"


def _memory(t: Shown) -> str:
    used = output.bytes_text(t["memory_bytes"])
    limit = t["memory_limit_bytes"]
    return (
        f"{used} of {output.bytes_text(limit)}" if limit and t["memory_bytes"] is not None else used
    )


def how_it_ended(ended: Shown | None) -> str:
    """Say an exit in a few words."""
    if ended is None:
        return ""
    if ended["oom"]:
        return "out of memory"
    if ended["signal"]:
        return f"signal {ended['signal']}"
    return ended["reason"] or "unknown" if ended["code"] is None else f"exit {ended['code']}"
