"""Where the host's filesystems are seen from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostRoots:
    """Where the host's filesystems are seen; other than the defaults in a container and in tests."""

    proc: str = "/proc"
    sys: str = "/sys"
    cgroup: str = "/sys/fs/cgroup"
    rootfs: str = "/"
