"""Parameters that several of Prometheus's endpoints share: ``match[]``, ``start`` and ``end``."""

from collections.abc import Sequence
from typing import Final

from model.errors import ParseError
from model.labels import Labels, Matcher, MatchOp
from promql.parser import parse_selector
from promql.regex import compile_anchored
from web.api import params
from web.api.params import MAX_MS, MIN_MS, BadParameterError

TRUNCATED: Final = "results truncated due to limit"
_TYPE_CHECK: Final = "vector selector must contain at least one non-empty matcher"


def window() -> tuple[int, int]:
    """Return ``start`` and ``end`` in ms; without bounds where they are not given."""
    return params.asked().time_ms("start", MIN_MS), params.asked().time_ms("end", MAX_MS)


def matcher_sets(prefix: str = "") -> list[Sequence[Matcher]]:
    """Return what each ``match[]`` asks for.

    Args:
        prefix: Stands before the message of what is wrong; endpoints differ in it.

    Raises:
        BadParameterError: If one cannot be parsed or would match every series.
    """
    return [_matchers(text, prefix) for text in params.asked().texts("match[]")]


def _matchers(text: str, prefix: str) -> Sequence[Matcher]:
    try:
        return parse_selector(text)
    except ParseError as error:
        message = str(error)
        if message.endswith(_TYPE_CHECK):
            message = "match[] must contain at least one non-empty matcher"
        raise BadParameterError(prefix + message) from error


def matches(matchers: Sequence[Matcher], labels: Labels) -> bool:
    """Tell whether one label set passes all matchers."""
    return all(_passes(matcher, labels.get(matcher.name)) for matcher in matchers)


def _passes(matcher: Matcher, value: str) -> bool:
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        hit = value == matcher.value
    else:
        hit = compile_anchored(matcher.value).fullmatch(value) is not None
    return hit if matcher.op in (MatchOp.EQUAL, MatchOp.REGEX) else not hit
