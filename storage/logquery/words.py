"""What a word of a message is; docs/specs/logquery.md says the same in prose.

A message is parted into words of four kinds: a run of Katakana, a run of a script of South-East Asia,
a single Han or Hiragana character (these scripts put no space between words), and a run of anything
else that is no sign: letters, digits, the underscore. What is a sign is listed by ranges: RE2 takes
milliseconds to compile Unicode's own classes. The same words are cut in Elasticsearch
(``logship.sink.elasticsearch.words``) from the same ranges.
"""

import re
from typing import Final

Ranges = tuple[tuple[int, int], ...]

SIGNS: Final[Ranges] = (
    (0x00, 0x2F), (0x3A, 0x40), (0x5B, 0x5E), (0x60, 0x60), (0x7B, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7),
    (0x37E, 0x37E), (0x387, 0x387), (0x55A, 0x55F), (0x589, 0x58A), (0x5BE, 0x5BE), (0x5F3, 0x5F4),
    (0x60C, 0x60D), (0x61B, 0x61F), (0x66A, 0x66D), (0x6D4, 0x6D4), (0x964, 0x965), (0x970, 0x970),
    (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2100, 0x2125), (0x2127, 0x2129), (0x212C, 0x2BFF),
    (0x2E00, 0x2E7F), (0x3000, 0x303F), (0xFD3E, 0xFD3F), (0xFE10, 0xFE1F), (0xFE30, 0xFE6F),
    (0xFEFF, 0xFEFF), (0xFF00, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65),
    (0xFFF0, 0xFFFF), (0x1F000, 0x1FAFF),
)  # fmt: skip
SINGLE: Final[Ranges] = (
    (0x2E80, 0x2FDF), (0x3040, 0x309F), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)  # fmt: skip
KATAKANA: Final[Ranges] = ((0x30A0, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))
SOUTH_EAST: Final[Ranges] = ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF))
_NO_LETTERS: Final = SIGNS + SINGLE + KATAKANA + SOUTH_EAST

# Characters that lower-case to one whose upper and title case they are not.
_ODD_CASES: Final = {
    "i": "\u0130",
    "k": "\u212a",
    "å": "\u212b",
    "ß": "\u1e9e",
    "\u03b8": "\u03f4",  # theta
    "ω": "\u2126",
}


def char_class(ranges: Ranges, *, negated: bool = False) -> str:
    """Return a class as RE2 and Java write it."""
    inner = "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)
    return f"[^{inner}]" if negated else f"[{inner}]"


CLASSES: Final = (_NO_LETTERS, SINGLE, KATAKANA, SOUTH_EAST)  # the first by what it is not
SIGN: Final = char_class(SIGNS)
LETTER: Final = char_class(_NO_LETTERS, negated=True)
WORD: Final = f"{LETTER}+|{char_class(SINGLE)}|{char_class(KATAKANA)}+|{char_class(SOUTH_EAST)}+"
_BORDERS: Final = (
    (KATAKANA, char_class(KATAKANA, negated=True)),
    (SOUTH_EAST, char_class(SOUTH_EAST, negated=True)),
)
_NO_LETTER: Final = char_class(_NO_LETTERS)


def _python(ranges: Ranges, *, negated: bool = False) -> str:
    inner = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
    return f"[^{inner}]" if negated else f"[{inner}]"


_WORDS = re.compile(
    f"{_python(_NO_LETTERS, negated=True)}+|{_python(SINGLE)}"
    f"|{_python(KATAKANA)}+|{_python(SOUTH_EAST)}+"
)


def words(text: str) -> list[str]:
    """Return the words of a text as they stand."""
    return _WORDS.findall(text)


def border(char: str) -> str:
    """Return the class of characters that end the word which a character is in; "" if it is one by itself."""
    code = ord(char)
    if _within(code, SINGLE):
        return ""
    return next((border for ranges, border in _BORDERS if _within(code, ranges)), _NO_LETTER)


def is_letter(char: str) -> bool:
    """Tell whether a character is part of a word of the common kind."""
    return not _within(ord(char), _NO_LETTERS)


def fold(text: str) -> str:
    """Return a text as words are compared: in lower case, character by character."""
    if text.isascii():
        return text.lower()
    return "".join(map(_lower, text))


def spellings(char: str) -> str:
    """Return all characters that are the same as this one where case does not count."""
    low = _lower(char)
    others = {low.upper(), low.title(), _ODD_CASES.get(low, low)}
    return low + "".join(sorted(o for o in others - {low} if len(o) == 1 and _lower(o) == low))


def _lower(char: str) -> str:
    low = char.lower()
    return low if len(low) == 1 else low[0]  # only of I with a dot above are two made


def _within(code: int, ranges: Ranges) -> bool:
    return any(first <= code <= last for first, last in ranges)
