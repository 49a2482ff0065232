"""Log shipping of many quiet files: CPU, memory and threads of an agent that has nothing to do.

    python bench/bench_idle_files.py [--files 5000] [--seconds 15] [--poll] [--busy 0]

``--poll`` does without inotify, as on file systems that have none; ``--busy`` files get a line
every 100 ms meanwhile, and the delay until its delivery is told.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SHIPPER = """
import os, resource, sys, threading, time
from pathlib import Path
sys.path.insert(0, {root!r})
from prometheus_client import CollectorRegistry
from logship.shipper import Settings, Shipper
from logship.source import watch
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.recording import RecordingSink
class Clock:
    now_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
if {poll}:
    watch.Watcher.watch = lambda *_: False
class Sink(RecordingSink):
    delays = []
    def write(self, batches, timeout_seconds):
        now = time.time_ns()
        for batch in batches:
            for row in range(len(batch)):
                self.delays.append(now - int(batch.text(row).split()[-1]))
        return super().write(batches, timeout_seconds)
sink = Sink()
logs = sorted(Path({logs!r}).iterdir())
tasks = FakeTaskSource(*(make_task(p.name, sandbox=str(p)) for p in logs))
class Quiet(FakeTaskSource):
    def watch(self, stop):
        yield self.snapshot()
        stop.wait()
tasks.__class__ = Quiet
shipper = Shipper(tasks, [sink], Path({state!r}), Settings(docker_socket=""), Clock(), CollectorRegistry())
def used():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime
before = used()
began = time.monotonic()
shipper.start()
while len(sink.delays) < len(logs): time.sleep(0.1)
print("start", time.monotonic() - began, used() - before, flush=True)
sys.stdin.readline()
sink.delays.clear()
before, began = used(), time.monotonic()
sys.stdin.readline()
cpu = (used() - before) / (time.monotonic() - began)
status = open("/proc/self/status").read()
rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
print(cpu * 100, rss, threading.active_count(), len(os.listdir("/proc/self/fd")), shipper._attention.hot, flush=True)
print(*sink.delays, flush=True)
sys.stdin.readline()
shipper.stop()
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--poll", action="store_true")
    parser.add_argument("--busy", type=int, default=0)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as name:
        logs = Path(name) / "logs"
        for number in range(args.files):
            folder = logs / f"task-{number:05d}"
            folder.mkdir(parents=True)
            (folder / "stdout").write_text(f"started {time.time_ns()}\n")
        code = SHIPPER.format(root=str(ROOT), logs=str(logs), state=f"{name}/state", poll=args.poll)
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
        assert child.stdin
        assert child.stdout
        words = child.stdout.readline().split()
        print(f"{args.files} files: first lines of all delivered after {float(words[1]):.1f} s, {float(words[2]):.1f} CPU-s")  # fmt: skip
        time.sleep(8)  # until they are quiet
        child.stdin.write("begin\n")
        child.stdin.flush()
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.1):
                for number in range(args.busy):
                    with (logs / f"task-{number * 7 % args.files:05d}" / "stdout").open(
                        "a"
                    ) as file:
                        file.write(f"line {time.time_ns()}\n")

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(args.seconds)
        stop.set()
        writer.join()
        child.stdin.write("end\n")
        child.stdin.flush()
        cpu, rss, threads, descriptors, hot = child.stdout.readline().split()
        print(f"{'polled' if args.poll else 'inotify'}, {args.busy} busy: {float(cpu):.2f} % of a core, {float(rss):.0f} MB, {threads} threads, {descriptors} descriptors, {hot} hot")  # fmt: skip
        delays = np.array([int(word) for word in child.stdout.readline().split()]) / 1e6
        if len(delays):
            print(f"{len(delays)} lines, delay p50 {np.percentile(delays, 50):.0f} ms, p99 {np.percentile(delays, 99):.0f} ms")  # fmt: skip
        child.stdin.write("stop\n")
        child.stdin.flush()
        child.wait(30)


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    main()
