"""The ``taskscope`` command: its subcommands by name, and what becomes of errors."""

import errno
import os
import sys
from importlib import import_module
from typing import Final, NoReturn

import click

from model.errors import ConfigError, OperatorError, TaskscopeError
from taskscope.version import version_text

# name -> module in taskscope.cli, object, one line of help; modules are imported when they run, so
# that `taskscope tasks` does not pay for the stores and `taskscope up` not for the demo
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("up", "Observe this host and serve the console: agent and server in one process."),
    "agent": ("up", "Only collect: send metrics, logs and tasks of this host to a server."),
    "server": ("up", "Only store, alert and serve: take what agents send."),
    "demo": ("demo", "Start (or stop) a small sample cluster to look at."),
    "run": ("run", "Run a command as a task: own sandbox, rotated logs, restarts."),
    "tasks": ("tasks", "List tasks, or show one."),
    "logs": ("logs", "Search or follow the logs of tasks, also of ended ones."),
    "query": ("query", "Evaluate a PromQL expression."),
    "alerts": ("alerts", "List alerts."),
    "check": ("check", "Judge a configuration or rule files."),
    "doctor": ("doctor", "Look at this host and say what works, what does not and why."),
    "dashboards": ("dashboards", "Build or check the Grafana dashboards."),
    "completion": ("completion", "Print a shell's completion script."),
}

# commands of two words, beside the one that the first word is by itself
SECOND_WORDS: Final[dict[tuple[str, str], str]] = {
    ("logs", "replay"): "replay",
    ("logs", "lint"): "lint",
}

# numpy's matrix routines are not used, and their idle threads would cost CPU and memory; to be said
# before a command imports numpy for the first time
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# looking for pydantic's plugins reads the metadata of all packages installed
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command runs or shows its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"taskscope.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; see taskscope --help"
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        if (words := tuple(args[:2])) in SECOND_WORDS:
            name = SECOND_WORDS[words]
            command: click.Command = getattr(import_module(f"taskscope.cli.{name}"), name)
            return " ".join(words), command, args[2:]
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version_text(), prog_name="taskscope")
def cli() -> None:
    """Observe tasks in containers: metrics, health, logs and alerts under one identity.

    `taskscope up` starts everything; `taskscope demo` gives it something to show.
    """


def main() -> None:
    """Run the command line; the only place that turns errors into exit codes."""
    stdout = sys.stdout
    try:
        code = cli.main(standalone_mode=False, color=False if os.environ.get("NO_COLOR") else None)
        sys.stdout.flush()
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _reader_gone()
    except SystemExit:
        if sys.stdout is not stdout:  # click's own answer to a broken pipe, with code 1
            _reader_gone()
        raise
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(2)
    except OperatorError as error:
        click.echo(f"taskscope: {error}", err=True)
        sys.exit(2)
    except TaskscopeError as error:
        click.echo(f"taskscope: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in _DISK:
            raise  # a fault of ours: somebody has to see where it came from
        where = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"taskscope: {where}{error.strerror}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _reader_gone() -> NoReturn:
    """End quietly: whoever read (head, less) has enough, and nothing more is written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(0)
