"""RE2 patterns as PromQL means them: anchored at both ends, and a dot is any character."""

import re
from functools import lru_cache
from typing import Any, Final

import re2

from model.labels import Matcher, MatchOp

_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
# what RE2 says, as Go's package of the same origin says it
_REASONS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}


@lru_cache(maxsize=512)
def compile_anchored(pattern: str) -> Any:
    """Compile a pattern; use ``fullmatch`` on the result.

    Raises:
        ValueError: If RE2 does not know the syntax; worded as Prometheus does.
    """
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as err:
        reason = err.args[0]
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        what, _, about = text.partition(": ")
        raise ValueError(f"error parsing regexp: {_REASONS.get(what, what)}: `{about}`") from None


def matches(matcher: Matcher, value: str) -> bool:
    """Tell whether a label's value passes a matcher."""
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        hit = value == matcher.value
    else:
        hit = compile_anchored(matcher.value).fullmatch(value) is not None
    return hit if matcher.op in (MatchOp.EQUAL, MatchOp.REGEX) else not hit


def quote_meta(text: str) -> str:
    """Escape a text so that a pattern matches it and nothing else."""
    return _META.sub(r"\\\g<0>", text)
