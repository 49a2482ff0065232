"""Which tasks a setting is for: by words of their identity, ``*`` and ``?`` standing for any characters."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct, field

from model.task import TaskIdentity

NAMES: Final = ("cluster", "host", "framework", "namespace", "app", "task_name", "task_id", "container_name", "image")  # fmt: skip


class TaskMatch(Struct, frozen=True):
    """A condition on a task; all of the words must match. Without any it is for every task."""

    words: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def of(cls, words: Mapping[str, str]) -> "TaskMatch":
        """Make it of name and pattern."""
        return cls(tuple(words.items()))

    def __call__(self, identity: TaskIdentity) -> bool:
        """Tell whether a task is meant."""
        return all(fnmatchcase(getattr(identity, name), pattern) for name, pattern in self.words)
