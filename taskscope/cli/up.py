"""``taskscope up``, ``taskscope agent``, ``taskscope server``."""

import gc
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from model.errors import OperatorError
from taskscope.cli import client, output


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path, file_okay=False),
            default=None,
            help="Where everything is kept; default: the user's state folder.",
        ),
        click.option(
            "--listen",
            default="",
            metavar="ADDRESS",
            help="Loopback address and port; default 127.0.0.1:9800.",
        ),
        click.option(
            "--config",
            "file",
            type=click.Path(path_type=Path, dir_okay=False),
            default=None,
            help="Configuration file (YAML).",
        ),
    ):
        command = option(command)
    return command


@click.command()
@_options
def up(file: Path | None, listen: str, data_dir: Path | None) -> None:
    """Observe the tasks of this host and serve console and API, until interrupted."""
    config = _prepare(file, listen, data_dir)
    from taskscope.clock import SystemClock
    from taskscope.wiring import build_up

    _run(build_up(config, file, SystemClock()))


@click.command()
@_options
def server(file: Path | None, listen: str, data_dir: Path | None) -> None:
    """Store, alert and serve what agents on this host send, until interrupted."""
    config = _prepare(file, listen, data_dir)
    from taskscope.clock import SystemClock
    from taskscope.wiring import build_server

    _run(build_server(config, file, SystemClock()))


@click.command()
@click.option(
    "--server",
    "server_url",
    default=client.DEFAULT,
    show_default=True,
    metavar="URL",
    help="The server to send to (loopback for now).",
)
@_options
def agent(server_url: str, file: Path | None, listen: str, data_dir: Path | None) -> None:
    """Collect from the tasks of this host and send everything to a server, until interrupted."""
    from urllib.parse import urlsplit

    from taskscope.config import LOOPBACK

    if urlsplit(server_url).hostname not in LOOPBACK:
        raise OperatorError(
            f"--server {server_url}: only a server on this host, like http://127.0.0.1:9800; there are no logins yet"
        )
    config = _prepare(file, listen or "127.0.0.1:9801", data_dir)
    from taskscope.clock import SystemClock
    from taskscope.wiring import build_agent

    _run(build_agent(config, file, server_url.rstrip("/"), SystemClock()))


def _prepare(file: Path | None, listen: str, data_dir: Path | None) -> Any:
    # what start-up makes stays: to look through it for garbage again and again is a tenth of its time
    gc.disable()
    from taskscope import journal
    from taskscope.config import load_config

    journal.configure()
    config = load_config(file, listen=listen, data_dir=data_dir)
    try:
        config.data_path().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"the data folder {config.data_path()} cannot be made: {error.strerror}; choose another with --data-dir"
        ) from error
    if not os.access(config.data_path(), os.R_OK | os.W_OK | os.X_OK):
        raise OperatorError(
            f"the data folder {config.data_path()} cannot be written by this user; choose another with --data-dir"
        )
    return config


def _run(stack: Any) -> None:
    from taskscope.life import run

    def started() -> None:
        gc.freeze()
        gc.enable()
        _greet(stack.web.url, stack.status())

    run(stack, started)


def _greet(url: str, status: Mapping[str, Any]) -> None:
    """Print the address, what was found and what to do next."""
    lines = [click.style(f"Taskscope {status['kind']} at {url}", bold=True)]
    for source in status.get("sources", ()):
        counts = ", ".join(f"{n} {state}" for state, n in sorted(source["counts"].items()))
        mark = (
            click.style("found", fg="green")
            if source["ok"]
            else click.style("not found", fg="yellow")
        )
        lines.append(
            f"  {source['name']:10} {mark}: {source['message']}{f' ({counts})' if counts else ''}"
        )
    lines += [f"  {'logs to':10} {s['name']}: {s['message']}" for s in status.get("sinks", ())]
    if through := status.get("streams_through_api"):
        lines.append(
            f"  {'logs from':10} Docker's API for {through} containers: their files may not be read, or there are none"
        )
    if "rules" in status:
        lines.append(f"  {'rules':10} {status['rules']}")
    lines.append(f"  {'data in':10} {status['data_dir']}")
    lines += [
        f"  {click.style('problem', fg='yellow'):10} {output.clean(p)}"
        for p in status.get("problems", ())
    ]
    if status["kind"] == "up":
        me = output.me()
        lines.append(f"  {'next':10} open {url}; '{me} demo' starts sample tasks; Ctrl-C stops")
        if url != client.DEFAULT:
            lines.append(f"  {'':10} for '{me} tasks' and the like: export TASKSCOPE_SERVER={url}")
    click.echo("\n".join(lines))
    sys.stdout.flush()
