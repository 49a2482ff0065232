"""Runtime labels as metric labels: only those the operator listed, under cAdvisor's names."""

import re
from collections.abc import Iterable
from typing import Final

from model.task import Task

PREFIX: Final = "container_label_"  # cAdvisor's
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_]")


def exported_labels(task: Task, allow_list: Iterable[str]) -> dict[str, str]:
    """Return the metric labels for those of a task's labels that are on the list.

    Characters that a metric label cannot have become ``_``; of two labels that then are the same
    the first on the list wins. Labels that are missing or empty are left out.
    """
    found: dict[str, str] = {}
    for name in allow_list:
        if value := task.status.labels.get(name):
            found.setdefault(PREFIX + _UNFIT.sub("_", name), value)
    return found
