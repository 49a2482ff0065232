"""Runs inside the cgroup v2 guest: compares our reading of a paused container with Docker's API and the kernel's files.

Prints one line of JSON: what was compared, and the differences.
"""

import json
import sys
from pathlib import Path

from collector.cgroup.locate import cgroup_of, containers_below, is_unified
from collector.cgroup.network import parse_net_dev
from collector.cgroup.v2 import CgroupV2

ROOT = "/sys/fs/cgroup"


def main() -> None:
    """Compare and print."""
    stats = json.loads(Path(sys.argv[1]).read_text())
    inspected = json.loads(Path(sys.argv[2]).read_text())
    pid, container_id = inspected["State"]["Pid"], inspected["Id"]
    path = cgroup_of(Path(f"/proc/{pid}/cgroup").read_bytes(), container_id)
    found = CgroupV2(ROOT, path).read()
    assert found is not None
    cpu, memory = stats["cpu_stats"], stats["memory_stats"]
    network = parse_net_dev(Path(f"/proc/{pid}/net/dev").read_bytes())
    written = [
        row["value"]
        for row in stats["blkio_stats"]["io_service_bytes_recursive"] or []
        if row["op"] == "write"
    ]
    peak = Path(ROOT + path, "memory.peak")
    pairs = {
        "unified": (is_unified(ROOT), True),
        "listed": (dict(containers_below(ROOT)).get(container_id), path),
        "cpu usage": (found.cpu.usage, cpu["cpu_usage"]["total_usage"] / 1e9),
        "cpu user": (found.cpu.user, cpu["cpu_usage"]["usage_in_usermode"] / 1e9),
        "cpu system": (found.cpu.system, cpu["cpu_usage"]["usage_in_kernelmode"] / 1e9),
        "periods": (found.cpu.periods, cpu["throttling_data"]["periods"]),
        "throttled": (found.cpu.throttled_periods, cpu["throttling_data"]["throttled_periods"]),
        "throttled time": (
            found.cpu.throttled_seconds,
            cpu["throttling_data"]["throttled_time"] / 1e9,
        ),
        "memory": (found.memory.usage, memory["usage"]),
        "working set": (
            found.memory.working_set,
            memory["usage"] - memory["stats"]["inactive_file"],
        ),
        "rss": (found.memory.rss, memory["stats"]["anon"]),
        "peak": (found.memory.max_usage, float(peak.read_text()) if peak.exists() else None),
        "limit": (found.spec.memory_limit, 64 << 20),
        "quota": (found.spec.cpu_quota, 30000),
        "threads": (found.processes.threads, stats["pids_stats"]["current"]),
        "threads max": (found.processes.threads_max, 40),
        "oom": (found.memory.oom_events, 1),
        "written": (sum(values[1] for values in found.block_io.values()), sum(written)),
        # a paused container still receives its neighbours' multicasts
        "received": (network["eth0"][0] >= stats["networks"]["eth0"]["rx_bytes"] > 0, True),
    }
    different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    print(json.dumps({"compared": len(pairs), "different": different, "busy": found.cpu.usage}))


if __name__ == "__main__":
    main()
