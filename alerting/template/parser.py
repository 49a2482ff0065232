"""Recursive descent over the tokens of a template."""

import ast
from collections.abc import Collection
from typing import Final

from alerting.template.evaluate import Template
from alerting.template.functions import FUNCTIONS
from alerting.template.lexer import TemplateError, Token, tokens
from alerting.template.nodes import (
    Action,
    Call,
    Chain,
    Command,
    If,
    Literal,
    Node,
    Operand,
    Pipe,
    Text,
)

_UNSUPPORTED: Final = frozenset(
    {"range", "with", "define", "template", "block", "break", "continue"}
)
_CONSTANTS: Final[dict[str, bool]] = {"true": True, "false": False}


def parse(source: str, variables: Collection[str] = ()) -> Template:
    """Parse a template.

    Args:
        source: The text.
        variables: Names, without the ``$``, that will be there when it is rendered.

    Raises:
        TemplateError: At the first thing that is wrong or not supported.
    """
    return Template(source, _Parser(source, variables).nodes_to_end())


class _Parser:
    def __init__(self, source: str, variables: Collection[str]) -> None:
        self._tokens = tokens(source)
        self._source = source
        self._at = 0
        self._scopes: list[set[str]] = [{f"${name}" for name in variables} | {"$"}]

    def nodes_to_end(self) -> tuple[Node, ...]:
        nodes, keyword = self._nodes(inside=None)
        if keyword is not None:
            raise TemplateError(
                f"unexpected {{{{ {keyword.text} }}}}; there is no open if", keyword.offset
            )
        return nodes

    def _nodes(self, inside: Token | None) -> tuple[tuple[Node, ...], Token | None]:
        """Read nodes up to ``else`` or ``end``; return them and that keyword, which is consumed."""
        nodes: list[Node] = []
        while self._at < len(self._tokens):
            token = self._next()
            if token.kind == "text":
                nodes.append(Text(token.text))
                continue
            self._spaces()
            keyword = self._peek()
            if keyword.kind == "identifier" and keyword.text in ("else", "end"):
                self._next()
                self._spaces()
                return tuple(nodes), keyword
            if keyword.kind == "identifier" and keyword.text == "if":
                self._next()
                nodes.append(self._if(keyword))
            elif keyword.kind == "identifier" and keyword.text in _UNSUPPORTED:
                raise TemplateError(f"{keyword.text} is not supported in templates", keyword.offset)
            else:
                nodes.append(Action(self._pipe("close", declarations=True)))
                self._next()
        if inside is not None:
            raise TemplateError("this if has no {{ end }}", inside.offset)
        return tuple(nodes), None

    def _if(self, opened: Token) -> If:
        self._scopes.append(set())
        condition = self._pipe("close", declarations=True)
        self._next()
        self._scopes.append(set())
        then, keyword = self._nodes(opened)
        self._scopes.pop()
        otherwise: tuple[Node, ...] = ()
        if keyword is not None and keyword.text == "else":
            following = self._next()
            if following.text == "if":
                otherwise = (self._if(opened),)
                self._scopes.pop()
                return If(condition, then, otherwise)
            self._must_close(following)
            self._scopes.append(set())
            otherwise, keyword = self._nodes(opened)
            self._scopes.pop()
            if keyword is not None and keyword.text == "else":
                raise TemplateError("a second else; expected {{ end }}", keyword.offset)
        self._must_close(self._next())
        self._scopes.pop()
        return If(condition, then, otherwise)

    def _must_close(self, token: Token) -> None:
        if token.kind != "close":
            raise TemplateError(f"unexpected {token.text!r}; expected }}}}", token.offset)

    def _pipe(self, closing: str, *, declarations: bool = False) -> Pipe:
        self._spaces()
        variable, declares = self._assignment() if declarations else ("", False)
        commands = [self._command(closing)]
        while self._peek().text == "|":
            bar = self._next()
            self._spaces()
            command = self._command(closing)
            if not isinstance(command, Call):
                raise TemplateError("a value can only be piped into a function", bar.offset)
            commands.append(command)
        if variable and declares:
            self._scopes[-1].add(variable)
        return Pipe(tuple(commands), variable)

    def _assignment(self) -> tuple[str, bool]:
        ahead = [t for t in self._tokens[self._at : self._at + 4] if t.kind != "space"]
        if len(ahead) < 2 or ahead[0].kind != "variable" or ahead[1].text not in (":=", "="):
            return "", False
        name, sign = ahead[0], ahead[1]
        if sign.text == "=":
            self._must_be_known(name)
        while self._next() is not sign:
            continue
        self._spaces()
        return name.text, sign.text == ":="

    def _command(self, closing: str) -> Command:
        first = self._operand()
        arguments: list[Operand] = []
        while True:
            self._spaces()
            token = self._peek()
            if token.kind == "close" or token.text in ("|", closing):
                break
            if not isinstance(first, Call):
                raise TemplateError(
                    f"unexpected {token.text!r}; only a function takes arguments", token.offset
                )
            arguments.append(self._operand())
        if isinstance(first, Call):
            return Call(first.function, tuple(arguments))
        return first

    def _operand(self) -> Operand:
        token = self._next()
        if token.kind == "string":
            return Literal(_string(token))
        if token.kind == "number":
            return Literal(_number(token))
        if token.kind == "variable":
            self._must_be_known(token)
            return Chain(token.text, self._fields())
        if token.kind == "field":
            names = (token.text[1:],) if len(token.text) > 1 else ()
            return Chain(".", names + self._fields())
        if token.text == "(":
            pipe = self._pipe(")")
            closing = self._next()
            if closing.text != ")":
                raise TemplateError("unclosed (", token.offset)
            return Chain(pipe, self._fields())
        if token.kind == "identifier":
            return self._identifier(token)
        found = "}}" if token.kind == "close" else token.text
        raise TemplateError(f"unexpected {found!r}; expected a value or a function", token.offset)

    def _identifier(self, token: Token) -> Operand:
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text])
        if token.text not in FUNCTIONS:
            raise TemplateError(f"function {token.text!r} is not defined", token.offset)
        return Call(token.text, ())

    def _fields(self) -> tuple[str, ...]:
        names = []
        while self._at < len(self._tokens) and self._peek().kind == "field":
            names.append(self._next().text[1:])
        return tuple(names)

    def _must_be_known(self, token: Token) -> None:
        if not any(token.text in scope for scope in self._scopes):
            known = ", ".join(sorted(set().union(*self._scopes) - {"$"}))
            raise TemplateError(
                f"undefined variable {token.text!r}; known here: {known}", token.offset
            )

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _spaces(self) -> None:
        while self._tokens[self._at].kind == "space":
            self._at += 1


def _string(token: Token) -> str:
    if token.text.startswith("`"):
        return token.text[1:-1]
    try:
        return str(ast.literal_eval(token.text))
    except (SyntaxError, ValueError) as error:
        raise TemplateError(f"bad string {token.text}", token.offset) from error


def _number(token: Token) -> float | int:
    try:
        return int(token.text, 0)
    except ValueError:
        return float(token.text)
