"""Which rule files there are: those that come with Taskscope, and those that patterns name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

SHIPPED_RULES: Final = Path(__file__).parent / "rules" / "taskscope.yml"
# what users see, and what alerts are kept under; so an upgrade into another directory keeps them
SHIPPED_NAME: Final = "shipped/taskscope.yml"


def files_of(patterns: Sequence[str], directory: Path, *, shipped: bool) -> list[Path]:
    """Return the rule files that patterns name, relative ones below a directory; the shipped one first.

    A name without wildcards is returned also if there is no such file, so that reading it says so.
    """
    found = [SHIPPED_RULES] if shipped else []
    for pattern in patterns:
        path = Path(pattern)
        base, rest = (
            (Path(path.anchor), str(path.relative_to(path.anchor)))
            if path.anchor
            else (directory, pattern)
        )
        if any(c in pattern for c in "*?["):
            found.extend(sorted(base.glob(rest)))
        else:
            found.append(base / rest)
    return list(dict.fromkeys(found))
