"""What one reading of a container gives: fixed figures, and lists by device and interface."""

from typing import Final

from msgspec import Struct, field

# The fixed figures in order: metric name and the labels it has besides the identity.
FIGURES: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    ("container_cpu_usage_seconds_total", (("cpu", "total"),)),
    ("container_cpu_user_seconds_total", ()),
    ("container_cpu_system_seconds_total", ()),
    ("container_cpu_cfs_periods_total", ()),
    ("container_cpu_cfs_throttled_periods_total", ()),
    ("container_cpu_cfs_throttled_seconds_total", ()),
    ("container_memory_usage_bytes", ()),
    ("container_memory_working_set_bytes", ()),
    ("container_memory_rss", ()),
    ("container_memory_cache", ()),
    ("container_memory_swap", ()),
    ("container_memory_mapped_file", ()),
    ("container_memory_max_usage_bytes", ()),
    ("container_memory_failcnt", ()),
    (
        "container_memory_failures_total",
        (("failure_type", "pgfault"), ("scope", "hierarchy")),
    ),
    (
        "container_memory_failures_total",
        (("failure_type", "pgmajfault"), ("scope", "hierarchy")),
    ),
    ("container_oom_events_total", ()),
    ("container_spec_memory_limit_bytes", ()),
    ("container_spec_memory_reservation_limit_bytes", ()),
    ("container_spec_memory_swap_limit_bytes", ()),
    ("container_spec_cpu_quota", ()),
    ("container_spec_cpu_period", ()),
    ("container_spec_cpu_shares", ()),
    ("container_processes", ()),
    ("container_threads", ()),
    ("container_threads_max", ()),
    ("container_file_descriptors", ()),
    ("container_start_time_seconds", ()),
    ("container_last_seen", ()),
)

Figure = float | None


class Cpu(Struct):
    """CPU time in seconds and CFS bandwidth control; None where the kernel does not say."""

    usage: Figure = None
    user: Figure = None
    system: Figure = None
    periods: Figure = None
    throttled_periods: Figure = None
    throttled_seconds: Figure = None

    def row(self) -> list[Figure]:
        """Return the figures in the order of ``FIGURES``."""
        return [
            self.usage,
            self.user,
            self.system,
            self.periods,
            self.throttled_periods,
            self.throttled_seconds,
        ]


class Memory(Struct):
    """Memory in bytes, events as counts."""

    usage: Figure = None
    working_set: Figure = None
    rss: Figure = None
    cache: Figure = None
    swap: Figure = None
    mapped_file: Figure = None
    max_usage: Figure = None
    failcnt: Figure = None
    pgfault: Figure = None
    pgmajfault: Figure = None
    oom_events: Figure = None

    def row(self) -> list[Figure]:
        """Return the figures in the order of ``FIGURES``."""
        return [
            self.usage,
            self.working_set,
            self.rss,
            self.cache,
            self.swap,
            self.mapped_file,
            self.max_usage,
            self.failcnt,
            self.pgfault,
            self.pgmajfault,
            self.oom_events,
        ]


class Spec(Struct):
    """Limits. cAdvisor's conventions: 0 for no memory limit, None for no CPU quota."""

    memory_limit: Figure = None
    memory_reservation: Figure = None
    memory_swap_limit: Figure = None
    cpu_quota: Figure = None
    cpu_period: Figure = None
    cpu_shares: Figure = None

    def row(self) -> list[Figure]:
        """Return the figures in the order of ``FIGURES``."""
        return [
            self.memory_limit,
            self.memory_reservation,
            self.memory_swap_limit,
            self.cpu_quota,
            self.cpu_period,
            self.cpu_shares,
        ]


class Processes(Struct):
    """Processes and threads."""

    processes: Figure = None
    threads: Figure = None
    threads_max: Figure = None
    file_descriptors: Figure = None

    def row(self) -> list[Figure]:
        """Return the figures in the order of ``FIGURES``."""
        return [self.processes, self.threads, self.threads_max, self.file_descriptors]


# major:minor -> bytes read, bytes written, reads, writes
BlockIO = dict[str, tuple[float, float, float, float]]
# interface -> receive bytes, packets, errors, dropped, transmit bytes, packets, errors, dropped
Network = dict[str, tuple[float, ...]]


class Reading(Struct):
    """One container, once."""

    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    spec: Spec = field(default_factory=Spec)
    processes: Processes = field(default_factory=Processes)
    block_io: BlockIO = field(default_factory=dict)
    network: Network = field(default_factory=dict)

    def row(self, started: Figure, last_seen: float) -> list[Figure]:
        """Return all fixed figures in the order of ``FIGURES``.

        As with cAdvisor, there are throttling figures only where there is a quota.
        """
        cpu = self.cpu.row()
        if self.spec.cpu_quota is None:
            cpu[3:] = (None, None, None)
        return [
            *cpu,
            *self.memory.row(),
            *self.spec.row(),
            *self.processes.row(),
            started,
            last_seen,
        ]
