"""``taskscope tasks [TASK]``."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from taskscope.cli import client, output

Shown = Mapping[str, Any]
_ENDED_SHOWN: Final = 10


@click.command()
@click.argument("task", required=False)
@click.option("--app", help="Only tasks of this app.")
@click.option("--running", is_flag=True, help="Leave out tasks that have ended.")
@click.option("--all", "every", is_flag=True, help="Every ended task, not only the newest ones.")
@client.server_option
@client.json_option
def tasks(
    task: str | None, app: str | None, server: str, *, running: bool, every: bool, as_json: bool
) -> None:
    """List tasks with state, health and usage, ended ones with how they ended.

    TASK is the name of a task or of its container, or the beginning of its id: then that one is
    shown whole. If there is none, the tasks of the app of that name are listed.
    """
    found: list[Shown] = client.get(server, "/api/tasks")
    if app:
        found = [t for t in found if t["identity"]["app"] == app]
    if running:
        found = [t for t in found if not t["ended"]]
    whole = False
    if task:
        named = [t for t in found if _is(t, task)]
        whole = bool(named)
        found = named or [t for t in found if t["identity"]["app"] == task]
    if as_json:
        output.print_json(found)
    elif not found:
        me = output.me()
        click.echo(
            f"no task or app {task!r}; '{me} tasks' lists them"
            if task
            else f"no tasks yet; '{me} demo' starts some to look at, '{me} doctor' says what is looked for",
            err=True,
        )
    elif whole:
        for one in found:
            _show(one)
    else:
        _list(found, every=every or not sys.stdout.isatty())
    if task and not found:
        raise SystemExit(1)


def _is(t: Shown, text: str) -> bool:
    names = (t["identity"]["task_name"], t["identity"]["container_name"])
    return text in names or t["id"].startswith(text)


def _health(t: Shown) -> str:
    """Say how the checks see a task; nothing if nobody looks."""
    status = t["health"]["status"]
    return "-" if status == "unknown" and not t["health"]["checks"] else output.coloured(status)


def _list(found: list[Shown], *, every: bool) -> None:
    now = time.time() * 1000
    found.sort(key=lambda t: (t["identity"]["app"], t["identity"]["task_name"]))
    ended = sorted((t for t in found if t["ended"]), key=lambda t: -(t["ended_ms"] or 0))
    shown = ended if every else ended[:_ENDED_SHOWN]
    rows = []
    for t in [*(t for t in found if not t["ended"]), *shown]:
        since = (
            t["ended_ms"] if t["ended"] and t["ended_ms"] else t["started_ms"] or t["created_ms"]
        )
        rows.append([
            t["identity"]["app"],
            t["identity"]["task_name"],
            output.coloured(t["state"]),
            "" if t["ended"] else _health(t),
            _cpu(t),
            _memory(t),
            str(t["restarts"]),
            output.age_text((now - since) / 1000),
            output.clean(how_it_ended(t["last_exit"])),
            t["id"][:12],
        ])  # fmt: skip
    output.table(
        ["APP", "TASK", "STATE", "HEALTH", "CPU", "MEMORY", "RESTARTS", "FOR", "LAST EXIT", "ID"],
        rows,
        right=["CPU", "MEMORY", "RESTARTS", "FOR"],
        spare=["ID", "APP", "RESTARTS"],
    )
    if hidden := len(ended) - len(shown):
        click.echo(click.style(f"{hidden} more ended earlier: --all lists them", dim=True))


def _show(t: Shown) -> None:
    identity = t["identity"]
    pairs = [
        ("task", f"{identity['task_name']} of {identity['app']} ({identity['namespace']})"),
        ("id", t["id"]),
        ("where", f"{identity['host']}, {identity['framework']}, cluster {identity['cluster']}"),
        ("image", identity["image"]),
        ("state", output.coloured(t["state"])),
        ("health", _health(t).replace("-", "no check")),
        ("usage", "" if t["ended"] else f"{_cpu(t)} of a core, {_memory(t)}"),
        ("sandbox", t["sandbox"]),
        ("logs", f"{output.me()} logs {identity['task_name']}"),
    ]
    for key, value in pairs:
        if value:
            click.echo(f"{key:8} {value}")
    for check in t["health"]["checks"]:
        failures = check["failures"]
        row = f", {failures} failure{'s' if failures > 1 else ''} in a row" if failures else ""
        said = output.clean(" ".join(check["output"].split()))
        click.echo(f"check    {check['check']}: {output.coloured(check['status'])}{row}")
        if said:
            click.echo(f"         {output.cut(said, 200)}")
    for run in t["runs"][-10:]:
        seconds = ((run["ended_ms"] or time.time() * 1000) - run["started_ms"]) / 1000
        how = how_it_ended(run["exit"]) if run["ended_ms"] else "still running"
        began = output.moment_text(run["started_ms"])
        click.echo(
            f"run {run['number']:<4} {began}, {output.age_text(seconds)}, {output.clean(how)}"
        )
    click.echo()


def _cpu(t: Shown) -> str:
    return "-" if t["cpu_cores"] is None else f"{t['cpu_cores'] * 100:.1f}%"


def _memory(t: Shown) -> str:
    used = output.bytes_text(t["memory_bytes"])
    if not t["memory_limit_bytes"] or t["memory_bytes"] is None:
        return used
    limit = output.bytes_text(t["memory_limit_bytes"])
    number, unit = used.split()
    return f"{number if limit.endswith(f' {unit}') else used} of {limit}"


def how_it_ended(ended: Shown | None) -> str:
    """Say an exit in a few words."""
    if ended is None:
        return ""
    if ended["oom"]:
        return "out of memory"
    if ended["signal"]:
        return f"signal {ended['signal']}"
    return ended["reason"] or "unknown" if ended["code"] is None else f"exit {ended['code']}"
