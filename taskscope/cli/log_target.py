"""What the words behind ``taskscope logs`` mean: tasks by name or id, and a query."""

import difflib
import re
import urllib.error
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from model.errors import OperatorError, ParseError
from storage.logquery import parse, quoted
from taskscope.cli import client

_NAME: Final = re.compile(r"[\w.@][\w.@/-]*")
_ID: Final = re.compile(r"[\w-]{4,}")
_OPERATORS: Final = frozenset({"AND", "OR", "NOT"})
_REMEMBERED: Final = 100  # records looked at for tasks that are known by their records only
_MOST_NAMED: Final = 8

Task = Mapping[str, Any]


class Target(Struct, frozen=True):
    """What is looked for.

    Attributes:
        query: The whole query.
        own: The part of it that the user wrote as a query.
        chosen: A phrase for the tasks that were named, each; empty if none was.
        remark: A sentence worth saying to somebody who reads along, or "".
        unknown: A word that may have been meant as a task, "" if none.
    """

    query: str
    own: str
    chosen: tuple[str, ...] = ()
    remark: str = ""
    unknown: str = ""


def find(server: str, words: Sequence[str]) -> Target:
    """Return what the words mean: leading ones that name tasks (or an app) are tasks, the rest is a query.

    Raises:
        OperatorError: If the query cannot be parsed, a word is the beginning of several ids, or nobody answers.
    """
    terms: list[str] = []
    chosen: list[str] = []
    remark = unknown = ""
    rest = list(words)
    known = known_tasks(server) if rest and _is_name(rest[0]) else []
    while rest and _is_name(rest[0]):
        word = rest[0]
        term, said = _among(word, known) or _in_records(server, word) or ("", "")
        if not term:
            unknown = word
            break
        terms.append(term)
        chosen.append(said)
        if term.startswith("app:"):
            remark = f"all tasks of the app {word}; for the word in messages: '\"{word}\"'"
        rest.pop(0)
    own = " ".join(rest)
    check(own)
    which = " OR ".join(terms)
    query = f"({which}) AND ({own})" if which and own.strip() else which or own
    return Target(query, own, tuple(chosen), remark, unknown)


def known_tasks(server: str) -> list[Task]:
    """Return the tasks that the server knows; none if it looks for none."""
    try:
        found: list[Task] = client.get(server, "/api/tasks")
    except OperatorError as error:
        if isinstance(error.__cause__, urllib.error.HTTPError):
            return []
        raise
    return found


def names(tasks: Iterable[Task]) -> set[str]:
    """Return every name under which the tasks can be asked for."""
    keys = ("task_name", "container_name", "app")
    return {t["identity"][key] for t in tasks for key in keys} - {""}


def suggestion(server: str, word: str) -> str:
    """Return a sentence about a word that names no task but looks as if it should, or ""."""
    near = difflib.get_close_matches(word, names(known_tasks(server)), n=1, cutoff=0.6)
    return f"no task or app is called {word}; did you mean {near[0]}?" if near else ""


def check(text: str) -> None:
    """Parse a query.

    Raises:
        OperatorError: If that is impossible, with the place marked.
    """
    try:
        parse(text)
    except ParseError as error:
        raise OperatorError(f"{error}\n{pointed(text, error.start, error.end)}") from error


def pointed(text: str, start: int, end: int) -> str:
    """Return a text, and below it a mark under what is from start to end."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    marks = max(1, min(end, len(text)) - start)
    return f"    {shown}\n    {' ' * start}{'^' * marks}"


def _is_name(word: str) -> bool:
    return _NAME.fullmatch(word) is not None and word not in _OPERATORS


def _among(word: str, tasks: Sequence[Task]) -> tuple[str, str] | None:
    identities = [t["identity"] for t in tasks]
    for field in ("task_name", "container_name"):
        if any(i[field] == word for i in identities):
            return f"{field}:{quoted(word)}", f"task {word}"
    if any(i["app"] == word for i in identities):
        return f"app:{quoted(word)}", f"app {word}"
    return _by_id(word, {i["task_id"]: i["task_name"] for i in identities})


def _in_records(server: str, word: str) -> tuple[str, str] | None:
    """Look for a task that nobody but its records remembers."""
    where = [f"{field}:{quoted(word)}" for field in ("task_name", "container_name", "app")]
    if _ID.fullmatch(word):
        where.append(f"task_id:{word}*")
    page = client.get(server, "/api/logs/search", query=" OR ".join(where), limit=_REMEMBERED)
    documents = [record["document"] for record in page["records"]]
    for name, field, kind in (
        ("taskscope.task.name", "task_name", "task"),
        ("container.name", "container_name", "task"),
        ("service.name", "app", "app"),
    ):
        if any(d.get(name) == word for d in documents):
            return f"{field}:{quoted(word)}", f"{kind} {word}"
    ids = {d.get("taskscope.task.id", ""): d.get("taskscope.task.name", "") for d in documents}
    return _by_id(word, ids)


def _by_id(word: str, ids: Mapping[str, str]) -> tuple[str, str] | None:
    if not _ID.fullmatch(word):
        return None
    found = [ident for ident in ids if ident.startswith(word)]
    if word in found:
        found = [word]
    if len(found) > 1:
        shown = ", ".join(f"{ident[:12]} ({ids[ident]})" for ident in sorted(found)[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise OperatorError(f"{word} is the beginning of {len(found)} task ids: {shown}{more}")
    return (f"task_id:{quoted(found[0])}", f"task {word}") if found else None
