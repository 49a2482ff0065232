"""What Taskscope itself costs: memory and CPU of `up` and `agent` beside 20 containers, and seconds until ready.

    python bench/bench_footprint.py [--containers 20] [--seconds 60] [--talk]

Needs a Docker Engine and a static busybox. CPU is user + system of the process from /proc, over the seconds
after the start has settled.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGE = "taskscope-bench/busybox:1"
NAME = "taskscope-bench"
TICK = os.sysconf("SC_CLK_TCK")


def containers(count: int, *, talk: bool) -> None:
    """Start containers at rest, or such that write a line a second."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add("/bin/busybox", arcname="bin/busybox")
    subprocess.run(
        ["docker", "import", "-", IMAGE],
        input=out.getvalue(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    loop = "i=0; while :; do i=$((i+1)); echo level=info msg=tick n=$i; /bin/busybox sleep 1; done"
    command = ["sh", "-c", loop] if talk else ["sleep", "100000"]
    for number in range(count):
        subprocess.run(
            ["docker", "run", "-d", "--name", f"{NAME}-{number}", IMAGE, "/bin/busybox", *command],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def remove(count: int) -> None:
    """Remove what ``containers`` made."""
    subprocess.run(
        ["docker", "rm", "-f", *(f"{NAME}-{n}" for n in range(count))],
        check=False,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(["docker", "rmi", "-f", IMAGE], check=False, stdout=subprocess.DEVNULL)


def cpu(pid: int) -> float:
    """Return user and system seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int, key: str) -> float:
    """Return a memory figure in MB."""
    line = next(
        x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith(key)
    )
    return int(line.split()[1]) / 1024


def start(command: list[str], port: int, data: str) -> tuple[subprocess.Popen[bytes], float]:
    """Start a process; return it and the seconds until ``/-/ready`` answered."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "taskscope", *command, "--listen", f"127.0.0.1:{port}", "--data-dir", data],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
            return process, time.monotonic() - begun
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"{command} ended with {process.returncode}")


def measure(name: str, process: subprocess.Popen[bytes], ready: float, seconds: float) -> None:
    """Print one row after ``seconds`` of work."""
    before = cpu(process.pid)
    time.sleep(seconds)
    share = (cpu(process.pid) - before) / seconds * 100
    print(
        f"{name:8} {ready:8.2f} {memory(process.pid, 'VmRSS'):8.0f} {memory(process.pid, 'VmHWM'):8.0f} {share:9.2f}"
    )


def main() -> None:
    """Measure ``up``, then ``agent`` with its ``server``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--containers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--talk", action="store_true", help="each container writes a line a second")
    a = parser.parse_args()
    containers(a.containers, talk=a.talk)
    running = []
    try:
        print(f"{'process':8} {'ready s':>8} {'RSS MB':>8} {'peak MB':>8} {'CPU % of a core':>9}")
        with tempfile.TemporaryDirectory() as data:
            process, ready = start(["up"], 9890, data)
            running.append(process)
            time.sleep(20)
            measure("up", process, ready, a.seconds)
            process.terminate()
            process.wait(30)
        with tempfile.TemporaryDirectory() as data:
            server, server_ready = start(["server"], 9891, f"{data}/server")
            agent, agent_ready = start(
                ["agent", "--server", "http://127.0.0.1:9891"], 9892, f"{data}/agent"
            )
            running += [agent, server]
            time.sleep(20)
            measure("agent", agent, agent_ready, a.seconds)
            measure("server", server, server_ready, a.seconds)
            for process in (agent, server):
                process.terminate()
                process.wait(30)
    finally:
        for process in running:
            process.kill()
        remove(a.containers)


if __name__ == "__main__":
    main()
