"""What watching Docker costs: a made-up engine with many containers, the source's own CPU.

.venv/bin/python -m bench.discovery [containers ...]
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from discovery.docker.client import DockerClient
from discovery.docker.source import DockerSource
from discovery.registry import TaskRegistry
from tests.discovery.clock import SystemClock

SERVER = """
import sys, time
from pathlib import Path
from tests.discovery.fake_docker import FakeDocker, inspection
engine = FakeDocker(Path(sys.argv[1]))
for n in range(int(sys.argv[2])):
    engine.add(inspection(f"{n:064x}", f"app{n % 50}-{n}", StartedAt="2026-01-01T00:00:01.25Z"))
engine.start()
print("ready", flush=True)
time.sleep(3600)
"""


def cpu() -> float:
    """Return the CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(containers: int) -> None:
    """Print one line of the table."""
    import subprocess

    with tempfile.TemporaryDirectory() as directory:
        socket = Path(directory) / "d.sock"
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(socket), str(containers)], stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        server.stdout.readline()
        clock = SystemClock()
        source = DockerSource(
            DockerClient(f"unix://{socket}"), cluster="b", host="h", clock=clock, list_seconds=0.5
        )
        tasks = TaskRegistry([source], clock, CollectorRegistry())
        began, used = time.monotonic(), cpu()
        tasks.start()
        while len(tasks.snapshot()) < containers:
            time.sleep(0.01)
        first, first_cpu = time.monotonic() - began, cpu() - used
        used = cpu()
        time.sleep(5)
        listing = (cpu() - used) / 10
        tasks.stop()
        server.kill()
        server.wait()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = listing / 30
    print(
        f"{containers:>10} {first:>12.2f} {first_cpu:>12.2f} {listing * 1000:>14.1f} {share:>14.3%} {rss:>8.0f}"
    )


if __name__ == "__main__":
    print(
        f"{'containers':>10} {'first list s':>12} {'its CPU s':>12} {'listing CPU ms':>14} {'core at 30 s':>14} {'RSS MB':>8}"
    )
    for size in [int(word) for word in sys.argv[1:]] or [20, 200, 2000]:
        measure(size)
