"""A YAML file as data, with the place of every key and item."""

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from model.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]


class Place(Struct, frozen=True):
    """Where something stands in a file, from 1."""

    line: int
    column: int


class Document(Struct, frozen=True):
    """A parsed YAML file.

    Attributes:
        file: Its path as the operator gave it.
        data: Plain Python values; {} for an empty file.
        places: Where each key (for mappings) or item (for lists) stands.
        values: Where each value starts, for problems within a value (an expression, a pattern).
    """

    file: str
    data: Any
    places: dict[KeyPath, Place]
    values: dict[KeyPath, Place]

    def problem(self, path: KeyPath, message: str, *, in_value: bool = False) -> Problem:
        """Make a problem at a path; at the nearest known place above it if it is not in the file."""
        source = self.values if in_value else self.places
        place = next(
            (source[path[:n]] for n in range(len(path), -1, -1) if path[:n] in source), None
        )
        return Problem(
            self.file,
            place.line if place else 1,
            place.column if place else 1,
            ".".join(map(str, path)),
            message,
        )


def load(path: Path | str) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: If it cannot be read or is no YAML, or a key stands twice in one mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Problem(str(path), 0, 0, "", f"cannot be read: {reason}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(str(path), 0, 0, "", f"is not UTF-8: {error.reason}")]
        ) from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Document:
    """Parse YAML text; see ``load``."""
    try:
        return _parse(text, file)
    except RecursionError as error:
        message = "not valid YAML: it nests too deeply, or an alias stands within its own anchor"
        raise ConfigError([Problem(file, 0, 0, "", message)]) from error


def _parse(text: str, file: str) -> Document:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        what = getattr(error, "problem", None) or "is not valid YAML"
        raise ConfigError([Problem(file, line, column, "", f"not valid YAML: {what}")]) from error
    except (ValueError, OverflowError) as error:
        raise ConfigError([Problem(file, 0, 0, "", f"not valid YAML: {error}")]) from error
    document = Document(file, {} if data is None else data, {}, {})
    twice: list[Problem] = []
    if node is not None:
        _walk(node, (), document, twice)
    if twice:
        raise ConfigError(twice)
    return document


def _walk(node: yaml.Node, path: KeyPath, document: Document, twice: list[Problem]) -> None:
    document.values[path] = _place(node)
    document.places.setdefault(path, _place(node))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            below = (*path, str(key.value))
            document.places[below] = _place(key)
            if below in seen:
                twice.append(document.problem(below, "stands twice; keep one"))
            seen.add(below)
            _walk(value, below, document, twice)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), document, twice)


def _place(node: yaml.Node) -> Place:
    mark = node.start_mark
    return Place(mark.line + 1, mark.column + 1)
