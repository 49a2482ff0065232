"""Finds where in a YAML file a character of a value stands, however the value is quoted or folded."""

from collections.abc import Callable

from configfile.document import Document, KeyPath
from model.errors import Problem


def in_value(
    document: Document,
    source: Callable[[], str],
    path: KeyPath,
    value: str,
    *,
    offset: int,
    message: str,
) -> Problem:
    """Make a problem at one character of a value.

    Args:
        document: The file.
        source: Gives the file's text.
        path: Of the value.
        value: As parsed.
        offset: Of the character in ``value``.
        message: What is wrong.
    """
    start = document.values[path]
    line, column = locate(source(), start.line, start.column, value, offset)
    return Problem(document.file, line, column, ".".join(map(str, path)), message)


def locate(text: str, line: int, column: int, value: str, offset: int) -> tuple[int, int]:
    """Return line and column of ``value[offset]`` in a YAML text where the value starts at a place.

    Every visible character of a value stands in the file in the same order, whether the scalar is
    plain, quoted, literal or folded; so the two are walked side by side. At the end of the value
    the place behind its last visible character is returned.
    """
    lines = text.splitlines()
    at = sum(len(part) + 1 for part in lines[: line - 1]) + column - 1
    text = "\n".join(lines)
    if text[at : at + 1] in ("|", ">") and not value.startswith(text[at]):
        at = text.find("\n", at) + 1  # behind the indicators of a block scalar
    behind = at
    for index, character in enumerate(value):
        if character.isspace():
            continue
        found = text.find(character, at)
        if found < 0:
            break
        at = behind = found + 1
        if index >= offset:
            behind = found
            break
    return text.count("\n", 0, behind) + 1, behind - (text.rfind("\n", 0, behind) + 1) + 1
