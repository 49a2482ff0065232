"""Named places at which a test may let the process die; nothing happens at them otherwise.

A place costs one look at a module variable, and stands only where files change or an answer is
given: a few times per group, block, request or file, never per sample or line. Each package names
its own in a module ``places``.
"""

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def arm(hook: Callable[[str], None] | None) -> None:
    """Call ``hook`` with the name of every place that is reached from now on; None ends it."""
    global _hook  # noqa: PLW0603  (one process, one hook: a place must not need an object)
    _hook = hook


def reach(place: str) -> None:
    """Say that a place is reached."""
    if _hook is not None:
        _hook(place)
