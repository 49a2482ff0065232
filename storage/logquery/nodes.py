"""The syntax tree of a log query. Field names in it are full ECS names; free text has the field ``message``."""

from typing import Final

from msgspec import Struct

MESSAGE: Final = "message"
LEVEL: Final = "log.level"
TIMESTAMP: Final = "@timestamp"
OWN_FIELDS: Final = "fields."


class All(Struct, frozen=True):
    """Every record."""


class And(Struct, frozen=True):
    """Records that every child finds; at least two children, none of them And or All."""

    children: "tuple[Node, ...]"


class Or(Struct, frozen=True):
    """Records that any child finds; at least two children, none of them Or."""

    children: "tuple[Node, ...]"


class Not(Struct, frozen=True):
    """Records that the child does not find, also those that lack its field."""

    child: "Node"


class Term(Struct, frozen=True):
    """In ``message`` a word without regard to case; in any other field the whole value, exactly."""

    field: str
    value: str


class Phrase(Struct, frozen=True):
    """Words of ``message`` that follow each other, whatever stands between them that is no word."""

    field: str
    value: str


class Wildcard(Struct, frozen=True):
    r"""``*`` for any characters, ``?`` for one, ``\`` before one that is meant as itself.

    In ``message`` it has to fit one word without regard to case, elsewhere the whole value exactly.
    """

    field: str
    pattern: str


class Regex(Struct, frozen=True):
    """An RE2 pattern: anywhere in ``message``, elsewhere over the whole value. Case counts."""

    field: str
    pattern: str


class Range(Struct, frozen=True):
    """A value between two bounds; None is open. Numbers compare as numbers, anything else as text."""

    field: str
    low: str | None
    high: str | None
    include_low: bool = True
    include_high: bool = True


class Exists(Struct, frozen=True):
    """Records that have the field with any value but the empty one."""

    field: str


Leaf = Term | Phrase | Wildcard | Regex | Range | Exists
Node = All | And | Or | Not | Leaf


def conjunction(*nodes: Node) -> Node:
    """Return the nodes joined by AND in its normal form."""
    flat: list[Node] = []
    for node in nodes:
        if isinstance(node, And):
            flat.extend(node.children)
        elif not isinstance(node, All):
            flat.append(node)
    if not flat:
        return All()
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjunction(*nodes: Node) -> Node:
    """Return the nodes joined by OR in its normal form."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.children if isinstance(node, Or) else (node,))
    return flat[0] if len(flat) == 1 else Or(tuple(flat))
