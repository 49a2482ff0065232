"""Which lines belong together: stack traces of Java, Python, Go and Node, private key blocks.

A line is judged by itself and by what the record before it has come to (its ``Kind``), so that a
trace is joined to the log line that announced it and ends where its own grammar ends. Indented
lines alone are not enough: a program that prints a table keeps its lines.
"""

import re
from enum import IntEnum
from typing import Final

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
SUSPECT: Final = re.compile(
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
FRAME_START: Final = "\tat "  # of Java's frames, of which a trace has dozens
_GO_LINE: Final = re.compile(
    r"$|\t|goroutine \d+|created by |\[signal |exit status \d|[\w./*()\-\[\]]+\(.*\)$|panic: "
)
_KEY_LINE: Final = re.compile(r"[A-Za-z0-9+/=]{0,80}\s*$|-----END |(?:Proc-Type|DEK-Info): ")


def opens(line: str, level: int) -> Kind:
    """Return what a record is that starts with this line; ``level`` is the line's."""
    if SUSPECT.match(line):
        if line.startswith("Traceback ("):
            return Kind.PYTHON
        if line.startswith(("panic: ", "fatal error: ")):
            return Kind.GO
        if line.startswith("-----BEGIN ") and "PRIVATE KEY" in line:
            return Kind.KEY
        if _JAVA_HEAD.match(line) or _SHORT_HEAD.match(line):
            return Kind.FRAMES
    return Kind.ALERT if level >= Level.WARN else Kind.CLOSED


def goes_on(kind: Kind, line: str) -> Kind | None:
    """Return what an open record becomes with this line, or None if the line starts another record."""
    if kind is Kind.CLOSED:
        return None
    if kind is Kind.KEY:
        if line.startswith("-----END "):
            return Kind.CLOSED
        return Kind.KEY if _KEY_LINE.match(line) else None
    if kind is Kind.GO:
        return Kind.GO if _GO_LINE.match(line) else None
    if kind is Kind.PYTHON:
        if line[:1] in (" ", "\t", ""):
            return Kind.PYTHON
        # the exception's own line ends it: "ValueError: text", "mypkg.mod.Oops", "KeyboardInterrupt"
        return Kind.PYTHON_END if line[0] not in "0123456789[{" else None
    if kind is Kind.PYTHON_END:
        if line.startswith("Traceback ("):
            return Kind.PYTHON
        chained = not line or line.startswith(("During handling ", "The above exception "))
        return Kind.PYTHON_END if chained else None
    if not SUSPECT.match(line):
        return None
    if _FRAME.match(line):
        return Kind.FRAMES
    opened = opens(line, 0)
    return opened if kind is Kind.ALERT and opened is not Kind.CLOSED else None
