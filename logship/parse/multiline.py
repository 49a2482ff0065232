"""Which lines belong together: stack traces of Java, Python, Go, Node, Ruby and .NET, private key blocks.

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
    FRAMES = 2  # Java, Node or .NET: frames follow
    PYTHON = 3  # in a traceback: indented lines, then the exception's own line
    PYTHON_END = 4  # behind it: nothing, or "During handling of ..." and another one
    GO = 5
    KEY = 6  # a private key block
    RUBY = 7
    CONSOLE = 8  # .NET's console logger: its message is the indented lines behind a head


# What may open or continue a trace, by its first characters; the one match that a line pays which
# does not start with a digit or a sign.
SUSPECT: Final = re.compile(
    r"[ \t]|$|Traceback \(|Caused by: |Exception in thread|panic: |fatal error: |goroutine |created by "
    r"|-----BEGIN |\[signal |exit status |During handling |The above exception |Uncaught |Unhandled [Ee]xception"
    r"|(?:trce|dbug|info|warn|fail|crit): [\w.`+\[\], ]+\[\d+\]$|--- End of "
    r"|(?:[A-Za-z_$][\w$]*\.)+[A-Z][\w$]*(?::|$)|[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt)\b"
    r"|(?:[\w./\-]+\.rb|\(\w+\)|[\w./\-]+):\d+:in [`'\"]"
)
_JAVA_HEAD: Final = re.compile(
    r"(?:Exception in thread \"[^\"]*\" |Unhandled [Ee]xception[.:] )?(?:[A-Za-z_$][\w$]*\.)+[A-Z][\w$]*(?:: |:$|$)"
)
_SHORT_HEAD: Final = re.compile(r"(?:Uncaught )?[A-Z]\w*(?:Error|Exception)\b(?: \[\w+\])?(?::|$)")
_FRAME: Final = re.compile(
    r"\s+at |\s+\.\.\. \d+ (?:more|common)|Caused by: |\s+Caused by: |\s*Suppressed: |\s+- locked|\s+\[cause\]|\s*[{}],?$"
    r"| *---> |\s*--- End of "
)
_DIGITS: Final = frozenset("0123456789")  # most lines behind a trace start with their time
_GO_LINE: Final = re.compile(
    r"$|\t|goroutine \d+|created by |\[signal |exit status \d|[\w./*()\-\[\]{}…]+\(.*\)$|panic: "
)
_KEY_LINE: Final = re.compile(r"[A-Za-z0-9+/=]{0,80}\s*$|-----END |(?:Proc-Type|DEK-Info): ")
_RUBY_PLACE: Final = re.compile(r"(?:[\w./\-]+|\(\w+\)):\d+:in [`'\"]")
# Rails: "NoMethodError (undefined method `x'):", an empty line, and places without "from"
_RAILS_HEAD: Final = re.compile(r"(?:[A-Z]\w*::)*[A-Z]\w*(?:Error|Exception) \(.*\):$")
_RUBY_LINE: Final = re.compile(r"\s+from |\t?\s*\d+: from |\s*$|\s*(?:[\w./\-]+|\(\w+\)):\d+:in ")
_CONSOLE_HEAD: Final = re.compile(r"(?:trce|dbug|info|warn|fail|crit): [\w.`+\[\], ]+\[\d+\]$")
_CONSOLE_INDENT: Final = "      "


def opens(line: str) -> Kind:
    """Return what a record is that starts with this line."""
    if SUSPECT.match(line):
        if _JAVA_HEAD.match(line) or _SHORT_HEAD.match(line):
            return Kind.FRAMES
        if line.startswith(("Traceback (", "  + Exception Group Traceback (")):
            return Kind.PYTHON
        if line.startswith(("panic: ", "fatal error: ")):
            return Kind.GO
        if line.startswith("-----BEGIN ") and "PRIVATE KEY" in line:
            return Kind.KEY
        if _CONSOLE_HEAD.match(line):
            return Kind.CONSOLE
        if _RUBY_PLACE.match(line) or _RAILS_HEAD.match(line):
            return Kind.RUBY
    return Kind.ALERT if of_line(line) >= Level.WARN else Kind.CLOSED


def goes_on(kind: Kind, line: str) -> Kind | None:
    """Return what an open record becomes with this line, or None if the line starts another record."""
    if kind is Kind.CLOSED:
        return None
    if kind is Kind.ALERT or kind is Kind.FRAMES:
        return _frames(kind, line)
    if kind is Kind.KEY:
        if line.startswith("-----END "):
            return Kind.CLOSED
        return Kind.KEY if _KEY_LINE.match(line) else None
    if kind is Kind.GO:
        return Kind.GO if _GO_LINE.match(line) else None
    if kind is Kind.RUBY:
        return Kind.RUBY if _RUBY_LINE.match(line) else None
    if kind is Kind.CONSOLE:
        return Kind.CONSOLE if line.startswith((_CONSOLE_INDENT, "   at ")) else None
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
    return None


def _frames(kind: Kind, line: str) -> Kind | None:
    if line[:1] in _DIGITS or not SUSPECT.match(line):
        return None
    if _FRAME.match(line) or (kind is Kind.ALERT and _JAVA_HEAD.match(line)):
        return Kind.FRAMES
    opened = opens(line) if kind is Kind.ALERT else Kind.CLOSED
    return opened if opened not in (Kind.CLOSED, Kind.ALERT, Kind.CONSOLE) else None
