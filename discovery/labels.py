"""What the labels of a task say to discovery, and which of them become metric labels."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from model import task_labels
from model.task import Task

PREFIX: Final = "container_label_"  # cAdvisor's
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_]")


def ignored(labels: Mapping[str, str]) -> bool:
    """Whether a task asks not to be observed."""
    return labels.get(task_labels.IGNORE, "").strip().lower() in {"true", "1", "yes"}


def exported_labels(task: Task, allow_list: Iterable[str]) -> dict[str, str]:
    """Return the metric labels for those of a task's labels that are on the operator's list.

    Characters that a metric label cannot have become ``_``; of two labels that then are the same
    the first on the list wins. Labels that are missing or empty are left out.
    """
    found: dict[str, str] = {}
    for name in allow_list:
        if value := task.status.labels.get(name):
            found.setdefault(PREFIX + _UNFIT.sub("_", name), value)
    return found
