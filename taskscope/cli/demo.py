"""``taskscope demo``."""

from pathlib import Path

import click

from taskscope.cli import client, output
from taskscope.paths import default_data_dir


@click.command()
@click.option("--stop", is_flag=True, help="Remove everything the demo started.")
@click.option("--processes", is_flag=True, help="Plain processes even if Docker answers.")
@client.server_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The data folder of the Taskscope that observes them.",
)
def demo(server: str, data_dir: Path | None, *, stop: bool, processes: bool) -> None:
    """Start a small sample cluster of real tasks: containers if Docker answers, else processes.

    A shop in two instances (one turns unhealthy), a worker, a job that dies of stack traces, a
    chatty task, and one that leaks until the kernel kills it.
    """
    from discovery.docker.client import DockerClient
    from taskscope.demo.containers import ContainerDemo
    from taskscope.demo.processes import ProcessDemo

    containers = ContainerDemo(DockerClient(timeout_seconds=120))
    plain = ProcessDemo(data_dir or default_data_dir())
    why_not = containers.available()
    if stop:
        count = plain.stop(_say) + (0 if why_not else containers.stop(_say))
        click.echo("the demo is gone" if count else "no demo was running")
        return
    if why_not and not processes:
        click.echo(f"no containers: {why_not}; plain processes instead")
    if processes or why_not:
        plain.start(_say)
    else:
        containers.start(_say)
    me = output.me()
    click.echo(
        f"\nThe tasks run. Look at them at {server} ('make run' or '{me} up' starts it)\n"
        f"or with '{me} tasks' and '{me} logs -f'. Alerts fire within five minutes: '{me} alerts'.\n"
        f"'{me} demo --stop' removes everything."
    )


def _say(line: str) -> None:
    click.echo(f"  {line}")
