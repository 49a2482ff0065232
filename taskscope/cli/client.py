"""Asks a running Taskscope over HTTP, for the commands that look at one."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import click

from model.errors import OperatorError, TaskscopeError
from taskscope.cli import output

DEFAULT: Final = "http://127.0.0.1:9800"


def server_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--server``; the environment's TASKSCOPE_SERVER stands in for it."""
    return click.option(
        "--server",
        default=DEFAULT,
        show_default=True,
        envvar="TASKSCOPE_SERVER",
        metavar="URL",
        help="The Taskscope to ask.",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(
        command
    )


def get(server: str, path: str, **params: object) -> Any:
    """Ask for JSON.

    Raises:
        OperatorError: If nobody answers, or what was asked is wrong.
        TaskscopeError: If the server could not answer.
    """
    with _open(server, path, params, timeout=60) as answer:
        return json.load(answer)


class Event(NamedTuple):
    """One server-sent event; ``id`` is the place to go on from; without data it only brings a new place."""

    name: str
    data: str
    id: str


def events(server: str, path: str, **params: object) -> Iterator[Event]:
    """Follow server-sent events until the connection ends; it stands when this returns.

    See ``get`` for what is raised now; the iterator raises OSError or HTTPException if the connection breaks.
    """
    return _events(_open(server, path, params, timeout=60))


def _events(answer: Any) -> Iterator[Event]:
    name, ident, known = "message", "", ""
    data: list[str] = []
    with answer:
        for raw in answer:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line:
                if data or ident != known:
                    yield Event(name, "\n".join(data), ident)
                name, data, known = "message", [], ident
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("id:"):
                ident = line[3:].strip()


def _open(server: str, path: str, params: dict[str, object], timeout: float) -> Any:
    query = urllib.parse.urlencode(
        {k: v for k, v in params.items() if v not in (None, "")}, doseq=True
    )
    url = f"{server.rstrip('/')}{path}{'?' + query if query else ''}"
    try:
        return urllib.request.urlopen(url, timeout=timeout)
    except urllib.error.HTTPError as error:
        text = _reason(error)
        if error.code in (400, 404, 422):
            raise OperatorError(text) from error
        raise TaskscopeError(text) from error
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        why = getattr(reason, "strerror", None) or reason
        raise OperatorError(
            f"no Taskscope answers at {server} ({why}); start one with '{output.me()} up' or say where with --server"
        ) from error
    except ValueError as error:
        raise OperatorError(f"--server {server}: {error}; it looks like {DEFAULT}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code} {error.reason}"
