"""The tree of a parsed template."""

from msgspec import Struct


class Literal(Struct, frozen=True):
    """A string, number or bool as written."""

    value: str | float | int | bool


class Chain(Struct, frozen=True):
    """Fields of a variable ("$" and a name), of the dot (variable ".") or of a bracketed pipeline."""

    base: "str | Pipe"
    fields: tuple[str, ...]


class Call(Struct, frozen=True):
    """A function with the arguments written behind it; a pipeline adds its value as the last one."""

    function: str
    arguments: "tuple[Operand, ...]"


Operand = Literal | Chain | Call
Command = Operand


class Pipe(Struct, frozen=True):
    """``commands[0] | commands[1] | ...``; the value goes to ``variable`` if that is named."""

    commands: tuple[Command, ...]
    variable: str = ""


class Text(Struct, frozen=True):
    """Text to be copied."""

    text: str


class Action(Struct, frozen=True):
    """A pipeline whose value is printed, unless it is assigned."""

    pipe: Pipe


class If(Struct, frozen=True):
    """``{{ if }}``; ``else if`` is an If alone in ``otherwise``."""

    condition: Pipe
    then: "tuple[Node, ...]"
    otherwise: "tuple[Node, ...]"


Node = Text | Action | If
