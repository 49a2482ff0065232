"""The whole of collection behind one start and one stop."""

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry

from collector.containers import ContainerSeries
from collector.exposition import exposition
from collector.loop import CollectionLoop
from collector.metrics import CollectorMetrics
from collector.node.source import NodeSeries
from collector.roots import HostRoots
from collector.scrape.discovery import ScrapeConfig
from collector.scrape.manager import ScrapeManager
from collector.scrape.target import ScrapeJob
from collector.self_ import SelfSeries
from collector.tasks import TaskSeries
from model.clock import Clock
from model.samples import SeriesSource
from model.task import Task, TaskSource
from storage.interface import Appender


class Collector:
    """Collects containers, tasks, the host, further sources and Taskscope itself; scrapes endpoints.

    Args:
        tasks: Which tasks there are.
        appender: Where samples go.
        clock: Times the samples.
        registry: What all parts of Taskscope count in.
        cluster: Label of the host's series.
        host: Likewise.
        instance: Where Taskscope listens; label of its own series.
        interval_seconds: From one collection to the next.
        sources: Further sources by name (health checks, log shipping).
        info_labels: Labels of a task that its ``task_info`` carries besides.
        scrape_configs: The operator's scrape targets.
        scrape_defaults: Interval, timeout and limits of targets that containers declare.
        roots: Where the host is seen.
    """

    def __init__(
        self,
        tasks: TaskSource,
        appender: Appender,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        cluster: str,
        host: str,
        instance: str,
        interval_seconds: float = 15.0,
        sources: Mapping[str, SeriesSource] | None = None,
        info_labels: Callable[[Task], Mapping[str, str]] = lambda _: {},
        scrape_configs: Sequence[ScrapeConfig] = (),
        scrape_defaults: ScrapeJob | None = None,
        roots: HostRoots | None = None,
    ) -> None:
        roots = roots or HostRoots()
        metrics = CollectorMetrics(registry)
        self._clock = clock
        self._registry = registry
        # what /metrics shows; our own registry is shown there as it is
        self._shown: dict[str, SeriesSource] = {
            "container": ContainerSeries(
                tasks,
                metrics,
                cluster=cluster,
                host=host,
                cgroup_root=roots.cgroup,
                proc_root=roots.proc,
                sys_root=roots.sys,
            ),
            "task": TaskSeries(tasks, info_labels),
            "node": NodeSeries(
                metrics,
                cluster=cluster,
                host=host,
                proc_root=roots.proc,
                sys_root=roots.sys,
                rootfs=roots.rootfs,
            ),
            **(sources or {}),
        }
        own = SelfSeries(registry, instance=instance)
        self._loop = CollectionLoop(
            {**self._shown, "self": own}, appender, clock, metrics, interval_seconds
        )
        self.scrapes = ScrapeManager(
            tasks, appender, scrape_configs, clock, registry, defaults=scrape_defaults
        )

    def start(self) -> None:
        """Begin to collect and scrape."""
        self._loop.start()
        self.scrapes.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop both; safe twice and before start."""
        self.scrapes.stop(timeout_seconds)
        self._loop.stop(timeout_seconds)

    def exposition(self) -> bytes:
        """Return the outside view of the same series, for ``/metrics``."""
        return exposition(self._shown, self._registry, self._clock)
