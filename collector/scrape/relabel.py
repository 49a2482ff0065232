"""Relabelling in Prometheus's words: ``relabel_configs`` and ``metric_relabel_configs``.

Semantics are those of prometheus model/relabel/relabel.go. Patterns are RE2, anchored at both ends;
a replacement names groups as ``$1``, ``${1}`` or ``${name}``.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from configfile.pattern import compile_pattern

Action = Literal[
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
]
_GROUP: Final = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


@dataclass(frozen=True, slots=True)
class RelabelRule:
    """One step. Attributes are Prometheus's; ``pattern`` is the compiled, anchored ``regex``.

    Raises:
        ValueError: If the regular expression is none.
    """

    action: Action = "replace"
    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    regex: str = "(.*)"
    modulus: int = 0
    target_label: str = ""
    replacement: str = "$1"
    pattern: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = compile_pattern(self.regex, dot_matches_newline=True)
        object.__setattr__(self, "pattern", pattern)


def relabel(labels: Mapping[str, str], rules: Sequence[RelabelRule]) -> dict[str, str] | None:
    """Return the labels after all rules, without empty ones; None if they are dropped."""
    found = dict(labels)
    for rule in rules:
        if not _apply(rule, found):
            return None
    return {name: value for name, value in found.items() if value}


def _apply(rule: RelabelRule, labels: dict[str, str]) -> bool:
    """Change the labels in place; False if they are dropped."""
    action = rule.action
    if action in ("labelmap", "labeldrop", "labelkeep"):
        _apply_to_names(rule, labels)
        return True
    value = rule.separator.join([labels.get(name, "") for name in rule.source_labels])
    if action == "keepequal":
        return labels.get(rule.target_label, "") == value
    if action == "dropequal":
        return labels.get(rule.target_label, "") != value
    if action == "lowercase":
        labels[rule.target_label] = value.lower()
        return True
    if action == "uppercase":
        labels[rule.target_label] = value.upper()
        return True
    if action == "hashmod":
        digest = hashlib.md5(value.encode(), usedforsecurity=False).digest()
        labels[rule.target_label] = str(int.from_bytes(digest[8:]) % rule.modulus)
        return True
    found = rule.pattern.fullmatch(value)
    if action == "keep":
        return found is not None
    if action == "drop":
        return found is None
    if found is not None:
        target = expand(rule.target_label, found)
        if target:
            labels[target] = expand(rule.replacement, found)
    return True


def _apply_to_names(rule: RelabelRule, labels: dict[str, str]) -> None:
    for name, value in list(labels.items()):
        found = rule.pattern.fullmatch(name)
        if rule.action == "labelmap":
            if found is not None:
                labels[expand(rule.replacement, found)] = value
        elif (found is not None) == (rule.action == "labeldrop"):
            del labels[name]


def expand(template: str, found: Any) -> str:
    """Fill the groups of a match into a template as Go's regexp.Expand does: what is not a group is empty."""
    if "$" not in template:
        return template

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return found.group(int(name) if name.isdecimal() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _GROUP.sub(group, template)
