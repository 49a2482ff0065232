"""Which strings of a label's dictionary a matcher accepts, each string judged once."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import re2

from model.errors import QueryError
from model.labels import Matcher, MatchOp

Accept = Callable[[str], bool]

_META = frozenset("\\.+*?()|[]{}^$")
_PREFIX_TAILS = {".*": 0, ".+": 1}


def accepts(matcher: Matcher) -> Accept:
    """Return the test for one matcher; "" stands for a missing label.

    Raises:
        QueryError: If the regular expression is not valid RE2.
    """
    text = matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda value: value == text
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda value: value != text
    hit = _regex(text)
    if matcher.op is MatchOp.REGEX:
        return hit
    return lambda value: not hit(value)


def literals(pattern: str) -> frozenset[str] | None:
    """Return the strings of an alternation of plain words (``a|b``), None for any other pattern."""
    words = pattern.split("|")
    return None if any(c in _META for word in words for c in word) else frozenset(words)


def _regex(pattern: str) -> Accept:
    words = literals(pattern)
    if words is not None:
        return words.__contains__
    head, tail = pattern[:-2], pattern[-2:]
    if tail in _PREFIX_TAILS and not any(c in _META for c in head):
        least = len(head) + _PREFIX_TAILS[tail]
        return lambda value: len(value) >= least and value.startswith(head)
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not valid"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise QueryError(f"invalid regular expression {pattern!r}: {text}") from error
    return lambda value: compiled.fullmatch(value) is not None


class Verdicts:
    """What one matcher thinks of one dictionary; grows with the dictionary.

    Attributes:
        accepts_missing: True if a series without the label passes.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._accept = accepts(matcher)
        self.accepts_missing = self._accept("")
        self._known: npt.NDArray[np.int8] = np.full(64, -1, dtype=np.int8)
        self._known[0] = self.accepts_missing
        self._judged = 1

    def all(self, values: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return the verdict on each string of the dictionary."""
        size = len(values)
        known = self._room(size)
        if self._judged < size:
            fresh = self._judged + np.flatnonzero(known[self._judged : size] < 0)
            self._judge(fresh, values)
            self._judged = size
        return self._known[:size].astype(np.bool_)

    def some(self, codes: npt.NDArray[np.int32], values: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return the verdict on each of these codes, judging only strings that occur."""
        known = self._room(len(values))
        fresh = np.unique(codes[known[codes] < 0])
        if len(fresh):
            self._judge(fresh, values)
        return self._known[codes].astype(np.bool_)

    def _room(self, size: int) -> npt.NDArray[np.int8]:
        if size > len(self._known):
            grown = np.full(size * 2, -1, dtype=np.int8)
            grown[: len(self._known)] = self._known
            self._known = grown
        return self._known

    def _judge(self, codes: npt.NDArray[np.integer], values: Sequence[str]) -> None:
        accept = self._accept
        self._known[codes] = [accept(values[code]) for code in codes.tolist()]


def is_plain_equal(matcher: Matcher) -> bool:
    """Tell whether a matcher asks for one value that is not empty."""
    return matcher.op is MatchOp.EQUAL and matcher.value != ""
