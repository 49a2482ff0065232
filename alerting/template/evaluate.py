"""Fills a parsed template in."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from alerting.template.functions import FUNCTIONS, truth
from alerting.template.nodes import Action, Call, If, Literal, Node, Operand, Pipe, Text
from alerting.template.printf import show
from model.errors import TaskscopeError


class RenderError(TaskscopeError):
    """A template could not be filled in with these values."""


class Template(Struct, frozen=True):
    """A parsed template; ``source`` is the text it was made of."""

    source: str
    nodes: tuple[Node, ...]

    @property
    def constant(self) -> bool:
        """Whether it is text only, so that it always gives the same."""
        return all(isinstance(node, Text) for node in self.nodes)

    def render(self, dot: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
        """Return the text.

        Args:
            dot: What ``.`` is; Prometheus gives Labels, ExternalLabels, ExternalURL and Value.
            variables: By name without the ``$``.

        Raises:
            RenderError: If a function refuses its arguments.
        """
        run = _Run(dot, {f"${name}": value for name, value in variables.items()} | {"$": dot})
        run.nodes(self.nodes)
        return "".join(run.out)


class _Run:
    def __init__(self, dot: Mapping[str, Any], variables: dict[str, Any]) -> None:
        self._dot = dot
        self._variables = variables
        self.out: list[str] = []

    def nodes(self, nodes: tuple[Node, ...]) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self.out.append(node.text)
            elif isinstance(node, Action):
                value = self._pipe(node.pipe)
                if not node.pipe.variable:
                    self.out.append(show(value))
            elif isinstance(node, If):
                chosen = node.then if truth(self._pipe(node.condition)) else node.otherwise
                self.nodes(chosen)

    def _pipe(self, pipe: Pipe) -> Any:
        piped: tuple[Any, ...] = ()
        for command in pipe.commands:
            if isinstance(command, Call):
                piped = (self._call(command, piped),)
            else:
                piped = (self._operand(command),)
        if pipe.variable:
            self._variables[pipe.variable] = piped[0]
        return piped[0]

    def _operand(self, operand: Operand) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Call):
            return self._call(operand, ())
        if isinstance(operand.base, Pipe):
            value = self._pipe(operand.base)
        else:
            value = self._dot if operand.base == "." else self._variables[operand.base]
        for name in operand.fields:
            if not isinstance(value, Mapping):
                raise RenderError(f"cannot take field .{name} of {show(value)}")
            # a label that is not there is "", as an absent key of Go's map[string]string is
            value = value.get(name, "")
        return value

    def _call(self, call: Call, piped: tuple[Any, ...]) -> Any:
        arguments = [self._operand(argument) for argument in call.arguments]
        try:
            return FUNCTIONS[call.function](*arguments, *piped)
        except (TypeError, ValueError, OverflowError, LookupError) as error:
            raise RenderError(f"error calling {call.function}: {error}") from error
