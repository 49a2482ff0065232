"""``TaskIdentity`` from the plain pairs it was stored as."""

from collections.abc import Mapping
from typing import Any

from model.task import TaskIdentity


def identity_of(pairs: Mapping[str, Any]) -> TaskIdentity:
    """Return the identity.

    Raises:
        TypeError: If a field is missing, unknown or no text.
    """
    if not all(isinstance(value, str) for value in pairs.values()):
        raise TypeError("a field of a task's identity is no text")
    return TaskIdentity(**pairs)
