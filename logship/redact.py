"""Obvious secrets are replaced before a batch leaves memory.

All rules are one RE2 alternation, searched once over the bytes of a whole batch: linear time
whatever a line holds. Records are parted by NUL there, and no rule reaches across one. Each rule
has exactly one group, the secret itself; it is replaced by ``[REDACTED:<rule>]`` with no quote in
it, so that JSON stays JSON.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Ints

_WORDS: Final = (
    rb"(?:[A-Za-z0-9_\-]*(?i:passwd|password|passphrase|secret|api_?-?key|access_?-?key|auth_?-?token"
    rb"|access_?-?token|refresh_?-?token|private_?-?key)|(?i:token|pwd))"
)

# rule -> pattern; the order is the order of preference at one place
RULES: Final[Mapping[str, bytes]] = {
    "private_key": rb"(-----BEGIN [A-Z ]*PRIVATE KEY-----[^\-\x00]*(?:-----END [A-Z ]*PRIVATE KEY-----)?)",
    "aws_access_key": rb"\b((?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16})\b",
    "github_token": rb"\b(gh[pousr]_[A-Za-z0-9]{30}[A-Za-z0-9]*|github_pat_[A-Za-z0-9]{20}\w*)",
    "slack_token": rb"\b(xox[abeoprs]-[A-Za-z0-9\-]{10}[A-Za-z0-9\-]*)",
    "stripe_key": rb"\b([rs]k_(?:live|test)_[A-Za-z0-9]{16}[A-Za-z0-9]*)",
    "jwt": rb"\b(eyJ[A-Za-z0-9_\-]{8}[A-Za-z0-9_\-]*\.eyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+)",
    "authorization": rb"(?i:authorization|\bbearer)\\?[\"']?[:= ][ \t]*\\?[\"']?(?:(?i:bearer|basic|token)[ \t]+)?([A-Za-z0-9._~+/=\-]{8}[A-Za-z0-9._~+/=\-]*)",
    "url_password": rb"\b[a-z][a-z0-9+.\-]+://[^\s:/@\x00\"]*:([^\s/@\x00\"\\]+)@",
    # "password": "..." in JSON, also JSON within JSON
    "json_secret": rb"\"" + _WORDS + rb"\\?\"[ \t]*:[ \t]*\\?\"([^\"\\\x00]+(?:\\[^\"\x00][^\"\\\x00]*|\\\"[^\"\\\x00,}\]:][^\"\\\x00]*)*)",
    "key_value": rb"\b" + _WORDS + rb"[=:][ \t]?[\"']?([^\s\"'&;,\\\x00\[{][^\s\"'&;,\\\x00]+)",
}  # fmt: skip


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
    """The compiled rules; safe to share between threads."""

    def __init__(self, rules: Mapping[str, bytes] = RULES) -> None:
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are, valid UTF-8 or not
        options.max_mem = 64 << 20
        self._names = tuple(rules)
        pattern = b"|".join(b"(?:" + rule + b")" for rule in rules.values())
        self._pattern: Any = re2.compile(pattern, options)

    def redact(self, buf: bytes) -> Redacted | None:
        """Return the bytes without secrets, or None if there is none in them."""
        starts: list[int] = []
        ends: list[int] = []
        parts: list[bytes] = []
        shift: list[int] = []
        counts: dict[str, int] = {}
        at = total = 0
        for match in self._pattern.finditer(buf):
            group = match.lastindex
            start, end = match.span(group)
            if buf.startswith(b"[REDACTED", start):
                continue
            rule = self._names[group - 1]
            mark = b"[REDACTED:" + rule.encode() + b"]"
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
