"""Obvious secrets are replaced before a batch leaves memory.

All rules are one RE2 alternation, searched once over the bytes of a whole batch: linear time
whatever a line holds. Records are parted by NUL there. Each rule has exactly one group, the secret
itself; it is replaced by ``[REDACTED:<rule>]`` with no quote in it, so that JSON stays JSON.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from logship.redact_rules import CHECKS, RULES
from model.samples import Ints

_MARK: Final = b"[REDACTED"
_KEY: Final = "private_key"
_KEY_END: Final = b"-----END "
# a line of a key's body, with whatever a logger put before it
_KEY_BODY: Final = re.compile(rb"(?:^|[\s|>\]])([A-Za-z0-9+/]{16,}={0,2})\s*$")
_KEY_HEADER: Final = re.compile(rb"(?:Proc-Type|DEK-Info): |^\s*$")


class Redacted(Struct, frozen=True):
    """What redaction made of some bytes.

    Attributes:
        buf: The bytes without secrets.
        starts: Where the replaced secrets started in the bytes before, rising, shape (k,).
        ends: Where they ended.
        shift: How much longer the bytes had become behind each, shape (k,), summed up.
        counts: Secrets replaced, by rule.
    """

    buf: bytes
    starts: Ints
    ends: Ints
    shift: Ints
    counts: dict[str, int]

    def moved(self, positions: Ints) -> Ints:
        """Return where positions in the bytes before (none within a secret) are now."""
        index = np.searchsorted(self.ends, positions, side="right")
        shifted: Ints = positions + np.concatenate(([0], self.shift))[index]
        return shifted

    def touched(self, starts: Ints, ends: Ints) -> npt.NDArray[np.bool_]:
        """Tell which of the spans (of the bytes before) had a secret."""
        after = np.searchsorted(self.ends, starts, side="right")
        before = np.searchsorted(self.starts, ends, side="left")
        hit: npt.NDArray[np.bool_] = before > after
        return hit


class Redactor:
    """The compiled rules; safe to share between threads.

    Args:
        own: Rules of the operator by name, see ``redact_rules.own_rule``; they go before the built-in ones.
        disable: Names of built-in rules that are left out.
    """

    def __init__(
        self, own: Mapping[str, bytes] | None = None, disable: Collection[str] = ()
    ) -> None:
        import re2

        own = own or {}
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are, valid UTF-8 or not
        options.max_mem = 64 << 20
        rules = {
            **own,
            **{
                name: rule
                for name, rule in RULES.items()
                if name not in disable and name not in own
            },
        }
        self._names = tuple(rules)
        self._own = len(own)  # these may reach from one record into the next
        self._checks = {
            n: CHECKS[name]
            for n, name in enumerate(self._names)
            if name in CHECKS and n >= self._own
        }
        pattern = b"|".join(b"(?:" + rule + b")" for rule in rules.values()) or rb"[^\x00-\xff]()"
        self._pattern: Any = re2.compile(pattern, options)

    def redact(self, buf: bytes) -> Redacted | None:
        """Return the bytes without secrets, or None if there is none in them."""
        starts: list[int] = []
        ends: list[int] = []
        parts: list[bytes] = []
        shift: list[int] = []
        counts: dict[str, int] = {}
        at = total = 0
        for start, end, rule in self._found(buf):
            if start < at or buf.startswith(_MARK, start):
                continue
            mark = _MARK + b":" + rule.encode() + b"]"
            parts += (buf[at:start], mark)
            at = end
            total += len(mark) - (end - start)
            starts.append(start)
            ends.append(end)
            shift.append(total)
            counts[rule] = counts.get(rule, 0) + 1
        if not parts:
            return None
        parts.append(buf[at:])
        return Redacted(
            b"".join(parts),
            np.array(starts, dtype=np.int64),
            np.array(ends, dtype=np.int64),
            np.array(shift, dtype=np.int64),
            counts,
        )

    def _found(self, buf: bytes) -> Iterator[tuple[int, int, str]]:
        """Yield the secrets in their order."""
        at, going = 0, True
        while going:
            going = False
            for match in self._pattern.finditer(buf, at):
                number = match.lastindex
                start, end = match.span(number)
                rule = self._names[number - 1]
                if number <= self._own and (edge := buf.find(b"\0", match.start(), match.end())) >= 0:  # fmt: skip
                    # it ends with its record, and the next record is looked at from its start
                    if start < edge:
                        yield start, min(end, edge), rule
                    at, going = edge + 1, True
                    break
                check = self._checks.get(number - 1)
                if check is not None and not check(buf, start, end):
                    continue
                yield start, end, rule
                if rule == _KEY and _KEY_END not in buf[start:end]:
                    yield from _rest_of_key(buf, end)


def _rest_of_key(buf: bytes, at: int) -> Iterator[tuple[int, int, str]]:
    """Yield the lines of a key that were logged as records of their own."""
    edge = buf.find(b"\0", at)
    while edge >= 0:
        following = buf.find(b"\0", edge + 1)
        line = buf[edge + 1 : following if following >= 0 else len(buf)]
        found = _KEY_BODY.search(line)
        if found:
            yield edge + 1 + found.start(1), edge + 1 + found.end(1), _KEY
        elif not _KEY_HEADER.search(line):
            return
        edge = following
