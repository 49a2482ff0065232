"""From a document to a frozen pydantic section, or to all its problems."""

import difflib
import types
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from configfile.document import Document, KeyPath
from model.errors import ConfigError, Problem


class Section(BaseModel):
    """Base of every configuration section: frozen, unknown keys refused, secrets never printed.

    A key without a value (all below it is commented out) is as good as left out.
    """

    # a section is built into the one above it; only the outermost needs a validator of its own
    model_config = ConfigDict(
        defer_build=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        optional = {f.alias or n for n, f in cls.model_fields.items() if not f.is_required()}
        return {k: v for k, v in data.items() if v is not None or k not in optional}


# pydantic speaks of Python's types, people write YAML
_WORDS: Final = {
    "tuple_type": "should be a list",
    "dict_type": "should be settings (key: value)",
    "model_type": "should be settings (key: value)",
    "model_attributes_type": "should be settings (key: value)",
    "string_type": "should be text; a number needs quotes",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
}

SectionT = TypeVar("SectionT", bound=BaseModel)


def validate(document: Document, section: type[SectionT]) -> SectionT:
    """Return the document as a section.

    Raises:
        ConfigError: With every problem, in the order of the file.
    """
    try:
        return section.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(problems(document, section, error)) from error


def problems(document: Document, section: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Turn pydantic's errors into problems with places and suggestions."""
    found = []
    for item in error.errors(include_url=False, include_input=False):
        path = _in_file(document, item["loc"], keep_last=item["type"] == "missing")
        message = item["msg"].removeprefix("Value error, ").replace("Input should", "should")
        message = _WORDS.get(item["type"], message)
        if item["type"] == "extra_forbidden":
            message = "unknown key" + _suggestion(section, path)
        elif item["type"] == "missing":
            message = "is missing"
        elif item["type"] == "union_tag_invalid":
            message = "type {tag!r} is not known; it is one of {expected_tags}".format(
                **item["ctx"]
            )
        elif item["type"] == "union_tag_not_found":
            message = "needs a type"
        in_value = item["type"] not in {"extra_forbidden", "missing"}
        found.append(document.problem(path, message, in_value=in_value))
    return sorted(set(found), key=lambda p: (p.line, p.column, p.key))


def _in_file(document: Document, loc: tuple[str | int, ...], *, keep_last: bool) -> KeyPath:
    """Drop what pydantic puts into a path and no file has: the tag of a union, the name of a validator."""
    path: KeyPath = ()
    for position, part in enumerate(loc):
        if (*path, part) in document.places or (keep_last and position == len(loc) - 1):
            path = (*path, part)
    return path


def _suggestion(section: type[BaseModel], path: KeyPath) -> str:
    """Name the nearest key that the section at this path does have."""
    candidates: set[str] = set()
    for owner in _sections_at(section, path[:-1]):
        candidates |= {field.alias or name for name, field in owner.model_fields.items()}
    near = difflib.get_close_matches(str(path[-1]), sorted(candidates), n=1, cutoff=0.55)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known here: {', '.join(sorted(candidates))}" if candidates else ""


def _sections_at(section: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    found: list[Any] = [section]
    for part in path:
        below: list[Any] = []
        for owner in found:
            if isinstance(part, int):
                below.append(owner)
                continue
            fields = {f.alias or n: f for n, f in owner.model_fields.items()}
            if part in fields:
                below.extend(_models_in(fields[part].annotation))
        found = below
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = get_origin(annotation)
    if origin is None and not isinstance(annotation, types.UnionType):
        return []
    args = get_args(annotation)
    if origin is dict:
        args = args[1:]
    return [model for arg in args for model in _models_in(arg)]
