"""Regular expressions that people write: RE2, so that none takes more than linear time."""

from typing import Any

import re2


def compile_pattern(pattern: str | bytes, *, dot_matches_newline: bool = False) -> Any:
    """Return a compiled pattern; RE2 by itself would also write of a bad one to stderr.

    Raises:
        ValueError: With RE2's reason, if it is no pattern.
    """
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = dot_matches_newline
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"is no valid RE2 pattern: {text}") from None
