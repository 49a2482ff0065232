"""Made-up hosts: trees of /proc, /sys and cgroup files that readers can be pointed at."""

from pathlib import Path

CPU_STAT = "usage_usec {usage}\nuser_usec 1\nsystem_usec 2\nnr_periods 3\nnr_throttled 4\nthrottled_usec 5\n"
MEMORY_STAT = "anon 10\nfile 20\nfile_mapped 5\ninactive_file 4\npgfault 1\npgmajfault 0\n"
NET_DEV = "h\nh\n  lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 7 6 5 4 0 0 0 0 3 2 1 0 0 0 0 0\n"


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def add_container(root: Path, path: str, usage: int = 1_000_000, **more: str) -> None:
    """Add a container's cgroup (version 2) below ``root/cgroup``; keywords are further files, ``__`` for a dot."""
    base = f"cgroup/{path.strip('/')}/"
    files = {
        "cpu.stat": CPU_STAT.format(usage=usage),
        "cpu.max": "50000 100000\n",
        "cpu.weight": "100\n",
        "memory.current": "100\n",
        "memory.stat": MEMORY_STAT,
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
        "memory.max": "max\n",
        "memory.low": "0\n",
        "memory.swap.current": "0\n",
        "memory.swap.max": "max\n",
        "memory.peak": "200\n",
        "pids.current": "2\n",
        "pids.max": "max\n",
        "cgroup.procs": "1\n2\n",
        "io.stat": "",
        **{name.replace("__", "."): text for name, text in more.items()},
    }
    write(root, {"cgroup/cgroup.controllers": "cpu io memory pids\n"})
    write(root, {base + name: text for name, text in files.items()})
