"""What a shell offers behind ``taskscope logs``: tasks, fields, and the values of a field."""

import json
import os
import re
import urllib.request
from collections.abc import Iterable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from model.identity import QUERY_FIELDS
from model.log import LEVEL_NAMES
from taskscope.cli import client

_SECONDS: Final = 1.0  # somebody waits at a prompt
_STREAMS: Final = ("stdout", "stderr")
_IN_TASKS: Final = frozenset(
    {"cluster", "host", "framework", "namespace", "app", "task_name", "task_id", "container_id", "container_name", "image"}
)  # fmt: skip
_PLAIN: Final = re.compile(r"[\w.@/-]+")


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what the word could become; nothing if no server answers at once."""
    del param
    before = [*(ctx.params.get("words") or ())]
    # bash splits words at colons, so that what is typed behind one is a word of its own
    if incomplete == ":" and before:
        field, typed, prefix = before[-1], "", ""
    elif len(before) >= 2 and before[-1] == ":":
        field, typed, prefix = before[-2], incomplete, ""
    elif ":" in incomplete:
        field, _, typed = incomplete.partition(":")
        prefix = f"{field}:"
    else:
        named = [(name, "task") for name in _names()]
        fields = [(f"{name}:", "field") for name in QUERY_FIELDS]
        return [CompletionItem(text, help=kind) for text, kind in [*named, *fields] if text.startswith(incomplete)]  # fmt: skip
    values = [value for value in _values(field.lstrip("-(")) if value.startswith(typed)]
    return [CompletionItem(prefix + value) for value in values]


def _values(field: str) -> Iterable[str]:
    if field == "level":
        return [*LEVEL_NAMES[1:], "none"]
    if field == "stream":
        return _STREAMS
    if field not in _IN_TASKS:
        return ()
    return sorted({v for t in _tasks() if _PLAIN.fullmatch(v := t["identity"][field])})


def _names() -> list[str]:
    keys = ("task_name", "app")
    return sorted({v for t in _tasks() for key in keys if _PLAIN.fullmatch(v := t["identity"][key])})  # fmt: skip


def _tasks() -> list[dict[str, Any]]:
    server = os.environ.get("TASKSCOPE_SERVER") or client.DEFAULT
    try:
        with urllib.request.urlopen(f"{server.rstrip('/')}/api/tasks", timeout=_SECONDS) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found
    except (OSError, ValueError):
        return []
