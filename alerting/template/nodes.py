"""The tree of a parsed template."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number or bool as written."""

    value: str | float | int | bool


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of a variable ("$" and a name), of the dot (variable ".") or of a bracketed pipeline."""

    base: "str | Pipe"
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with the arguments written behind it; a pipeline adds its value as the last one."""

    function: str
    arguments: "tuple[Operand, ...]"


Operand = Literal | Chain | Call
Command = Operand


@dataclass(frozen=True, slots=True)
class Pipe:
    """``commands[0] | commands[1] | ...``; the value goes to ``variable`` if that is named."""

    commands: tuple[Command, ...]
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """Text to be copied."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless it is assigned."""

    pipe: Pipe


@dataclass(frozen=True, slots=True)
class If:
    """``{{ if }}``; ``else if`` is an If alone in ``otherwise``."""

    condition: Pipe
    then: "tuple[Node, ...]"
    otherwise: "tuple[Node, ...]"


Node = Text | Action | If
