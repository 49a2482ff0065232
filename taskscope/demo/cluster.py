"""What the demo cluster is made of: one list, run as containers or as plain processes."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

MARK: Final = "taskscope.demo"  # the label by which `demo --stop` finds what is its own
NAMESPACE: Final = "demo"
SICK_AFTER_SECONDS: Final = 40


class DemoTask(Struct, frozen=True):
    """One task of the demo.

    Attributes:
        name: Task name; the container is called so with a prefix.
        app: Application it belongs to.
        role: First argument of ``programs.py``; ``args`` follow it.
        what: What it shows, for the list that ``taskscope demo`` prints.
        port: Port it serves on, 0 for none.
        args: Further arguments; ``{port}`` is replaced.
        memory_bytes: Memory limit, 0 for none.
        cpus: CPU limit, 0 for none.
        restart: Whether it is started again when it ends.
        health: ``taskscope.health.*`` settings by name.
    """

    name: str
    app: str
    role: str
    what: str
    port: int = 0
    args: tuple[str, ...] = ()
    memory_bytes: int = 0
    cpus: float = 0.0
    restart: bool = True
    health: Mapping[str, str] = field(default_factory=dict)

    def labels(self, port: int) -> dict[str, str]:
        """Return the labels it runs under when it serves on ``port``."""
        labels = {
            MARK: "1",
            "taskscope.app": self.app,
            "taskscope.namespace": NAMESPACE,
            "taskscope.task_name": self.name,
        }
        if port:
            labels |= {"taskscope.scrape.port": str(port), "taskscope.health.port": str(port)}
        return labels | {f"taskscope.health.{name}": value for name, value in self.health.items()}

    def command(self, port: int) -> list[str]:
        """Return the arguments for ``programs.py`` when it serves on ``port``."""
        return [self.role, *(arg.format(port=port) for arg in self.args)]


# short intervals, so that a newcomer sees health within seconds and alerts within minutes
_HTTP_CHECK = {
    "type": "http",
    "path": "/healthz",
    "delay_seconds": "1",
    "grace_period_seconds": "3",
    "interval_seconds": "3",
    "timeout_seconds": "2",
}

TASKS: Final = (
    DemoTask(
        "shop-1",
        "shop",
        "shop",
        "HTTP service: /metrics, JSON logs, healthy",
        8080,
        ("{port}",),
        health=_HTTP_CHECK,
    ),
    DemoTask(
        "shop-2",
        "shop",
        "shop",
        f"the same; turns unhealthy after {SICK_AFTER_SECONDS} s",
        8081,
        ("{port}", str(SICK_AFTER_SECONDS)),
        health=_HTTP_CHECK,
    ),
    DemoTask("worker", "worker", "worker", "packs orders; logfmt lines", cpus=0.5),
    DemoTask(
        "report-job", "report-job", "job", "dies of a stack trace with exit code 1, again and again"
    ),
    DemoTask("chatty", "chatty", "chatty", "writes 200 lines a second"),
    DemoTask(
        "leaky",
        "leaky",
        "leaky",
        "leaks into its 64 MiB limit until the kernel kills it",
        memory_bytes=64 << 20,
    ),
)
