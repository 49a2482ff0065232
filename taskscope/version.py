"""Which Taskscope this is."""

from importlib.metadata import PackageNotFoundError, version


def version_text() -> str:
    """Return the version, ``unknown`` in a source tree that is not installed."""
    try:
        return version("taskscope")
    except PackageNotFoundError:
        return "unknown"
