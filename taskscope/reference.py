"""The reference pages of docs/, made from the configuration's sections and the metric catalog.

``make docs`` writes them; a test fails when they are stale.
"""

import sys
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from model.catalog import CATALOG
from taskscope.config import TaskscopeConfig

DOCS = Path(__file__).parents[1] / "docs"


def configuration() -> str:
    """Return docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "One YAML file (`--config FILE`); every setting has a working default, so no file is needed. `taskscope check config FILE` names all",
        "problems at once, each with its line. A list item is written `[]`, its settings below it. Made from the code by `make docs`.",
        "",
        "`kill -HUP` and `POST /-/reload` read the file anew: rules (`alerting.rule_files`, `shipped_rules`, `evaluation_interval_seconds`) and",
        "scrape targets (`collector.scrape_configs` and their defaults) change at once, everything else at the next start. If the file, or a rule file",
        "that it names, has problems, everything stays as it was; a signal's are in Taskscope's own log, the request answers them.",
        "",
        "| setting | values | default |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{key}` | {values} | {default} |"
        for key, values, default in _settings(TaskscopeConfig, "")
    ]
    return "\n".join([*lines, ""])


def metrics() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Every metric that Taskscope emits. Those marked *task* carry the identity labels (docs/specs/identity.md). Made from the catalog by `make docs`.",
        "",
        "| metric | type | labels | what it is |",
        "|---|---|---|---|",
    ]
    for metric in CATALOG.values():
        labels = ", ".join(
            [*(["*task*"] if metric.per_task else []), *(f"`{name}`" for name in metric.labels)]
        )
        lines.append(f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |")
    return "\n".join([*lines, ""])


PAGES = {"configuration.md": configuration, "metrics.md": metrics}


def _settings(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in section.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        below = list(_sections_of(field.annotation))
        if not below:
            yield key, _values(field.annotation), _default(field)
        for inner, is_list in below:
            if is_list:
                yield f"{key}[]", _tag(inner), "" if not field.default else _default(field)
            yield from _settings(inner, f"{key}[]." if is_list else f"{key}.")


def _sections_of(
    annotation: Any, *, in_list: bool = False
) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, in_list
        return
    origin = get_origin(annotation)
    for arg in get_args(annotation):
        yield from _sections_of(arg, in_list=in_list or origin in (list, tuple, set, frozenset))


def _tag(section: type[BaseModel]) -> str:
    kind = section.model_fields.get("type")
    return (
        f"item with `type: {get_args(kind.annotation)[0]}`"
        if kind and get_args(kind.annotation)
        else "item"
    )


def _values(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _values(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{arg}`" for arg in get_args(annotation))
    if isinstance(annotation, types.UnionType) or get_args(annotation):
        inner = [
            _values(arg) for arg in get_args(annotation) if arg is not type(None) and arg is not ...
        ]
        origin = get_origin(annotation)
        if origin in (list, tuple, set, frozenset):
            return f"list of {inner[0]}"
        if origin is dict:
            return f"{inner[0]} to {inner[1]}"
        return " or ".join(dict.fromkeys(inner))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true, false",
        Path: "path",
        SecretStr: "secret text",
    }
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or value in ("", (), [], {}, SecretStr("")):
        return "none"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return ", ".join(f"`{_plain(item)}`" for item in value)
    return f"`{value}`"


def _plain(item: object) -> object:
    return getattr(item, "type", None) or getattr(item, "name", None) or item


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"wrote docs/{name}\n")


if __name__ == "__main__":
    main()
