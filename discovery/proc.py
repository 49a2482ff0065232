"""What /proc says of a process: its cgroup and whether it is still the same one."""

from pathlib import Path


def cgroup_path(pid: int, proc: Path = Path("/proc"), *, within: str = "") -> str:
    """Return a process's cgroup below the mount point, "" if it cannot be known.

    On version 1 (and on hybrid hosts) it is that of the memory controller, else of cpu; on version 2
    the unified one. A container may move its first process into a child of its own cgroup; with
    ``within`` the path ends at the component that has this text in it.
    """
    if pid <= 0:
        return ""
    try:
        text = (proc / str(pid) / "cgroup").read_text()
    except (OSError, ValueError):
        return ""
    paths = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            paths[controller] = path
    path = paths.get("memory") or paths.get("cpu") or paths.get("") or ""
    if within and within in path:
        parts = path.split("/")
        last = next(i for i, part in enumerate(parts) if within in part)
        path = "/".join(parts[: last + 1])
    return "" if path == "/" else path


def start_ticks(pid: int, proc: Path = Path("/proc")) -> int:
    """Return when a process started, in clock ticks since boot, 0 if there is none; tells a reused pid apart."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return 0
    fields = text.rpartition(")")[2].split()
    if not fields or fields[0] in {"Z", "X"}:
        return 0
    return int(fields[19])
