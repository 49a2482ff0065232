"""Severities as loggers write them, to ``Level``."""

import re
from collections.abc import Sequence
from typing import Final

from model.log import Level

_WORDS: Final = {
    Level.TRACE: "trace finest finer verbose trc trce silly",
    Level.DEBUG: "debug fine dbg dbug config debug1 debug2 debug3 debug4 debug5",
    Level.INFO: "info information informational notice note inf log statement hint detail",
    Level.WARN: "warn warning wrn",
    Level.ERROR: "error err severe eror fail failure",
    Level.FATAL: "fatal critical crit alert emerg emergency panic dpanic ftl",
}

# every spelling in its three usual cases, and the numbers of pino and bunyan (10 ... 60)
BY_WORD: Final[dict[str, int]] = {
    form: int(level)
    for level, words in _WORDS.items()
    for word in words.split()
    for form in (word, word.upper(), word.capitalize())
} | {str(10 * int(level)): int(level) for level in Level if level}

# as a part of patterns: every spelling that a line may have, the longest first
WORDS: Final = "|".join(sorted((word for word in BY_WORD if word.isalpha()), key=len, reverse=True))
LOUD_WORDS: Final = "|".join(word for word in WORDS.split("|") if word.isupper())

# the same with the quotes of JSON, so that a raw value is looked up without being decoded
BY_JSON: Final[dict[bytes, int]] = {
    (word if word.isdigit() else f'"{word}"').encode(): level for word, level in BY_WORD.items()
}

_LINE: Final = re.compile(
    r"\b(?:(TRACE|VERBOSE|FINEST|FINER|trace)|(DEBUG|FINE|debug)|(INFO|NOTICE|info|notice|Info)"
    r"|(WARN|WARNING|warn|warning|Warning)|(ERROR|SEVERE|ERR|error|Error)"
    r"|(FATAL|CRITICAL|CRIT|PANIC|EMERG|ALERT|fatal|critical|panic|emerg))\b"
)
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
FRAME: Final = "\tat "  # a frame of a trace names no level, and a trace has dozens
HEAD: Final = 100  # a level stands near the start of a line, or it is part of the prose


def of_text(text: str) -> int:
    """Return the level of a word in any case, 0 if it is none."""
    level = BY_WORD.get(text)
    return BY_WORD.get(text.strip().lower(), 0) if level is None else level


def of_line(line: str) -> int:
    """Return the level a plain line names near its start, 0 if none."""
    head = line[:HEAD]
    if "\x1b" in head:
        head = _ANSI.sub(" ", head)
    found = _LINE.search(head)
    return found.lastindex or 0 if found else 0


class LevelFinder:
    """``of_line`` for the lines of one stream, whose levels mostly stand at one place."""

    def __init__(self) -> None:
        self._at = 0

    def levels(self, lines: Sequence[str]) -> list[int]:
        """Return the level of each line."""
        match, search = _LINE.match, _LINE.search
        at = self._at
        levels = []
        for line in lines:
            found = match(line, at)
            if line[:1] == "\t" and line.startswith(FRAME):
                levels.append(0)
                continue
            if found is None:
                head = line[:HEAD]
                if "\x1b" in head:
                    levels.append(of_line(line))
                    continue
                found = search(head)
                if found is None:
                    levels.append(0)
                    continue
                at = found.start()
            levels.append(found.lastindex or 0)
        self._at = at
        return levels
