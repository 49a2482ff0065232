"""The dashboards there are. A new one is a function that returns a ``Page``, and a line here."""

from collections.abc import Callable
from typing import Final

from dashboards.cluster import cluster
from dashboards.grafana import Page
from dashboards.task import task
from dashboards.taskscope import taskscope

DASHBOARDS: Final[tuple[Callable[[], Page], ...]] = (cluster, task, taskscope)
