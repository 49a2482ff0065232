"""Which lines belong together: stack traces of Java, Python, Go and Node, private key blocks.

A line is judged by itself and by what the record before it has come to (its ``Kind``), so that a
trace is joined to the log line that announced it and ends where its own grammar ends. Indented
lines alone are not enough: a program that prints a table keeps its lines.
"""

import re
from enum import IntEnum
from typing import Final

from logship.parse.levels import of_line
from model.log import Level

LINES_MAX: Final = 1_000
GAP_NS: Final = 500_000_000  # lines that the runtime saw further apart are never one record


class Kind(IntEnum):
    """What an open record is."""

    CLOSED = 0  # nothing can follow
    ALERT = 1  # a plain line of WARN or worse: a trace may follow
    FRAMES = 2  # Java or Node: frames follow
    PYTHON = 3  # in a traceback: indented lines, then the exception's own line
    PYTHON_END = 4  # behind it: nothing, or "During handling of ..." and another one
    GO = 5
    KEY = 6  # a private key block


# What may open or continue a trace, by its first characters; the one match each plain line pays.
_SUSPECT: Final = re.compile(
    r"[ \t]|$|Traceback \(|Caused by: |Exception in thread|panic: |fatal error: |goroutine |created by "
    r"|-----BEGIN |\[signal |exit status |During handling |The above exception |Uncaught "
    r"|(?:[A-Za-z_$][\w$]*\.)+[A-Z][\w$]*(?::|$)|[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt)\b"
)
_JAVA_HEAD: Final = re.compile(
    r"(?:Exception in thread \"[^\"]*\" )?(?:[A-Za-z_$][\w$]*\.)+[A-Z][\w$]*(?:: |:$|$)"
)
_SHORT_HEAD: Final = re.compile(r"(?:Uncaught )?[A-Z]\w*(?:Error|Exception)\b(?: \[\w+\])?(?::|$)")
_FRAME: Final = re.compile(
    r"\s+at |\s+\.\.\. \d+ (?:more|common)|Caused by: |\s+Caused by: |\s*Suppressed: |\s+- locked|\s+\[cause\]|\s*[{}],?$"
)
_GO_LINE: Final = re.compile(
    r"$|\t|goroutine \d+|created by |\[signal |exit status \d|[\w./*()\-\[\]]+\(.*\)$|panic: "
)
_KEY_LINE: Final = re.compile(r"[A-Za-z0-9+/=]{0,80}\s*$|-----END |(?:Proc-Type|DEK-Info): ")


def step(kind: Kind, line: str) -> tuple[Kind, bool]:
    """Judge one line behind an open record.

    Returns:
        ``(kind, joins)``: what the record is with this line, and whether the line belongs to the
        record before it (else it starts a new one).
    """
    if kind is Kind.KEY and _KEY_LINE.match(line):
        return (Kind.CLOSED if line.startswith("-----END ") else Kind.KEY), True
    if not _SUSPECT.match(line):
        return _plain(kind, line)
    joined = _continue(kind, line)
    return (joined, True) if joined is not None else (_open(line), False)


def _plain(kind: Kind, line: str) -> tuple[Kind, bool]:
    if kind is Kind.PYTHON and line[:1] not in "0123456789[{":
        return Kind.PYTHON_END, True  # "mypkg.mod.Oops: text", "KeyboardInterrupt"
    if kind is Kind.GO and _GO_LINE.match(line):
        return Kind.GO, True
    return (Kind.ALERT if of_line(line) >= Level.WARN else Kind.CLOSED), False


def _continue(kind: Kind, line: str) -> Kind | None:
    """Return what the open record becomes with this line, or None if the line is not part of it."""
    if kind in (Kind.CLOSED, Kind.KEY):
        return None
    if kind is Kind.GO:
        return Kind.GO if _GO_LINE.match(line) else None
    if kind is Kind.PYTHON:
        return Kind.PYTHON if line[:1] in (" ", "\t") or not line else Kind.PYTHON_END
    if kind is Kind.PYTHON_END:
        chained = not line or line.startswith(("Traceback (", "During handling ", "The above exc"))
        if line.startswith("Traceback ("):
            return Kind.PYTHON
        return Kind.PYTHON_END if chained else None
    if _FRAME.match(line):
        return Kind.FRAMES
    if kind is Kind.FRAMES:
        return None
    opened = _open(line)
    return opened if opened not in (Kind.CLOSED, Kind.ALERT) else None


def _open(line: str) -> Kind:
    """Return what a record is that starts with this line."""
    if line.startswith("Traceback ("):
        return Kind.PYTHON
    if line.startswith(("panic: ", "fatal error: ")):
        return Kind.GO
    if line.startswith("-----BEGIN ") and "PRIVATE KEY" in line:
        return Kind.KEY
    if _JAVA_HEAD.match(line) or _SHORT_HEAD.match(line):
        return Kind.FRAMES
    return Kind.ALERT if of_line(line) >= Level.WARN else Kind.CLOSED
