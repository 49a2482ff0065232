"""Where the host's filesystems are seen from."""

from msgspec import Struct


class HostRoots(Struct, frozen=True):
    """Where the host's filesystems are seen; other than the defaults in a container and in tests."""

    proc: str = "/proc"
    sys: str = "/sys"
    cgroup: str = "/sys/fs/cgroup"
    rootfs: str = "/"
