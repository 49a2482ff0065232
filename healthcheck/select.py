"""Which checks a task has: the operator's, then those its labels declare."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct, field
from msgspec.structs import replace

from healthcheck.check import Check, CheckType
from healthcheck.labels import LabelChecks, label_checks
from model.task import Task


class TaskMatch(Struct, frozen=True):
    """Which tasks are meant; all that is given must fit, ``*`` and ``?`` stand for any text."""

    app: str = ""
    task_name: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def fits(self, task: Task) -> bool:
        """Whether a task is meant."""
        who, labels = task.identity, task.status.labels
        return (
            _fits(who.app, self.app)
            and _fits(who.task_name, self.task_name)
            and _fits(who.namespace, self.namespace)
            and all(n in labels and _fits(labels[n], wanted) for n, wanted in self.labels.items())
        )


class DeclaredCheck(Struct, frozen=True):
    """A check from the operator's file. A command runs in the task's container, on the host if it has none."""

    match: TaskMatch
    check: Check


def checks_for(task: Task, declared: Sequence[DeclaredCheck]) -> LabelChecks:
    """Return a task's checks by name; the operator's come first and win over labels of the same name."""
    found: dict[str, Check] = {}
    for one in declared:
        if one.match.fits(task):
            check = one.check
            if check.type is CheckType.COMMAND and not task.identity.container_id:
                check = replace(check, on_host=True)
            found.setdefault(check.name, check)
    by_labels = label_checks(task)
    for check in by_labels.checks:
        found.setdefault(check.name, check)
    return LabelChecks(tuple(found.values()), by_labels.problems)


def _fits(value: str, pattern: str) -> bool:
    return not pattern or fnmatchcase(value, pattern)
