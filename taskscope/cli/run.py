"""``taskscope run --name NAME -- COMMAND``."""

import socket
from pathlib import Path

import click

from model.errors import OperatorError
from taskscope.paths import default_data_dir

_TAKES_THE_REST = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=_TAKES_THE_REST)
@click.option("--name", required=True, help="The task's name.")
@click.option("--app", default="", help="Application it belongs to; the name if left out.")
@click.option("--namespace", default="", help="Namespace; 'default' if left out.")
@click.option("--restart", is_flag=True, help="Start it again whenever it ends.")
@click.option(
    "--max-restarts",
    type=click.IntRange(min=0),
    default=None,
    help="Give up after so many restarts.",
)
@click.option(
    "--memory",
    default="",
    metavar="SIZE",
    help="Memory limit, e.g. 64m; needs a cgroup of its own.",
)
@click.option(
    "--port",
    "ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    help="A port it listens on, for checks and scrapes.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="As a container's label, e.g. taskscope.health.type=http.",
)
@click.option("--echo", is_flag=True, help="Copy its output to this terminal too.")
@click.option("--cluster", default="local", show_default=True, help="Cluster it is listed under.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The data folder of the Taskscope that observes it.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    name: str, app: str, namespace: str, max_restarts: int | None, memory: str, ports: tuple[int, ...],
    labels: tuple[str, ...], cluster: str, data_dir: Path | None, command: tuple[str, ...], *, restart: bool, echo: bool,
) -> int:  # fmt: skip
    """Run COMMAND as a task of this host.

    Its stdout and stderr go to a sandbox of its own, rotated; Taskscope lists it, measures it, ships
    its logs, and remembers how each run ended. The exit code is the command's.
    """
    from discovery.process.spec import RunSpec, parse_size
    from discovery.process.supervisor import supervise
    from discovery.process.taskfile import tasks_directory
    from taskscope.clock import SystemClock

    spec = RunSpec(
        name=name,
        command=command,
        cluster=cluster,
        host=socket.gethostname(),
        app=app,
        namespace=namespace,
        restart=restart or max_restarts is not None,
        max_restarts=max_restarts,
        labels=dict(map(_pair, labels)),
        ports=ports,
        memory_limit_bytes=parse_size(memory) if memory else 0,
        echo=echo,
    )
    return supervise(
        spec,
        tasks_directory(data_dir or default_data_dir()),
        SystemClock(),
        started=lambda task: click.echo(
            f"task {task.identity.task_id}, sandbox {task.status.sandbox}", err=True
        ),
    )


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise OperatorError(
            f"--label {text!r} is no pair; write it like taskscope.health.type=http"
        )
    return key, value
