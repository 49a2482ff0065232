"""What goes wrong around Taskscope: it says so in a sentence, goes on, and loses nothing it has taken."""

import contextlib
import itertools
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.collector.scrape import servers
from tests.e2e.faults import (
    Memory,
    Pager,
    SecuredNode,
    configure,
    every_line,
    fill,
    running_task,
    small_disk,
)
from tests.e2e.stack import Stack, cli, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# numbered lines, about a hundred a second; the last one says how many there are
LEDGER = """
import sys, time
for n in range(1, int(sys.argv[1]) + 1):
    print(f"line {n} of the ledger", flush=True)
    time.sleep(0.01)
print(f"written {n}", flush=True)
time.sleep(60)
"""


def ledger(stack: Stack) -> Counter[int]:
    """Count each numbered line in the store."""
    found = (
        re.search(r"line (\d+) of", d["message"])
        for d in every_line(stack, 'task_name:ledger "of the ledger"')
    )
    return Counter(int(match[1]) for match in found if match)


@pytest.mark.elasticsearch
@pytest.mark.timeout(180)
def test_elasticsearch_that_is_away_and_then_refuses_the_password(
    tmp_path: Path, shared: Path, cache: Path
) -> None:
    """A sentence each; the embedded store goes on; the right password is taken up without a restart."""
    start = shared / "services" / "es8" / "start.sh"
    if not (cache / "es8" / "home" / ".ready").exists() or not start.exists():
        pytest.skip("Elasticsearch's programs are not in the cache")
    (folder := tmp_path / "node").mkdir()
    node = SecuredNode(cache / "es8", start, folder, "right-one")
    password = tmp_path / "password"
    password.write_text("a wrong one\n")
    login = {"endpoints": [node.url], "username": "elastic", "password_file": password.name}
    config = configure(
        tmp_path / "taskscope.yml",
        logship={"sinks": [{"type": "embedded"}, {"type": "elasticsearch", **login}]},
    )
    away = f"Elasticsearch at {node.url} cannot be reached: Connection refused"
    refused = f"Elasticsearch at {node.url} refuses user elastic: check {password}"

    def says(sentence: str) -> bool:
        embedded, elastic = stack.get("/api/status")["sinks"]
        return bool(embedded["ok"]) and str(elastic["message"]) == sentence

    with Stack(tmp_path / "data", "--config", str(config)) as stack, contextlib.ExitStack() as last:
        eventually("the sentence about its absence", lambda: says(away), 10)
        last.enter_context(
            running_task(stack.data_dir, "ledger", sys.executable, "-c", LEDGER, "500")
        )
        last.callback(node.stop)
        node.start()
        eventually("the sentence about the password", lambda: says(refused), 40)
        doctor = cli("doctor", "--config", str(config), data_dir=stack.data_dir)
        password.write_text("right-one\n")
        eventually("delivering", lambda: says("delivering"), 40)
        eventually("the last line", lambda: stack.logs("task_name:ledger written"), 20)
        eventually("all there", lambda: node.count("logs-task-default") == 501, 20)
        assert ledger(stack) == Counter(range(1, 501))

    log = stack.output()
    assert f"bad   elasticsearch {refused}" in doctor.stdout
    assert away in log
    assert "log sink elasticsearch: delivering again" in log
    assert "Traceback" not in log


@pytest.mark.root
def test_full_disk(tmp_path: Path) -> None:
    """Reads go on and the sentence says why; with room again everything arrives, each line once."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    with small_disk(tmp_path / "disk", "64m") as disk:
        (data_dir := disk / "data").mkdir()
        (data_dir / "tasks").symlink_to(tasks)  # the task's own files have room
        with (
            Stack(data_dir, "--config", str(configure(tmp_path / "c.yml"))) as stack,
            running_task(data_dir, "ledger", sys.executable, "-c", LEDGER, "1500"),
        ):
            eventually("lines and samples", lambda: ledger(stack) and stack.query("node_load1"), 20)
            filler = fill(disk)
            eventually(
                "the sentence", lambda: any("is full" in p for p in stack.get("/api/status")["problems"]), 5
            )  # fmt: skip
            eventually(
                "the sink's sentence", lambda: not stack.get("/api/status")["sinks"][0]["ok"], 20
            )
            assert ledger(stack)
            assert stack.query("node_load1")
            doctor = cli("doctor", data_dir=data_dir)
            assert "bad   data" in doctor.stdout
            assert f"the disk of the data folder {data_dir} is full" in doctor.stdout
            filler.unlink()

            freed = time.time()
            eventually("the last line", lambda: stack.logs("task_name:ledger written"), 40)
            eventually(
                "new samples", lambda: float(stack.query("timestamp(node_load1)")[0]["value"][1]) > freed, 10
            )  # fmt: skip
            assert ledger(stack) == Counter(range(1, 1501))
            assert stack.get("/api/status")["problems"] == []
            output = stack.output()
    assert "Traceback" not in output


def _closes(connection: socket.socket, request: bytes) -> None:
    connection.close()


def _a_gigabyte(connection: socket.socket, request: bytes) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n"
    connection.sendall(head.format(1 << 30).encode())
    for _ in range(1 << 14):
        connection.sendall(b'a{b="c"} 1\n' * 5958 + b"\n" * 6)


HTML = b"<!doctype html><html><body>hello</body></html>\n" * 50
GARBAGE = bytes(range(256)) * 500
TARGETS = {
    # name: what it does, what is said of it
    "html": (servers.replies(servers.answer(HTML, "text/html")), "'text/html', not an exposition"),
    "html as text": (servers.replies(servers.answer(HTML)), "the answer is not an exposition"),
    "binary": (servers.replies(servers.answer(GARBAGE, "application/octet-stream")), "not an exposition"),
    "binary as text": (servers.replies(servers.answer(GARBAGE)), "not an exposition"),
    "json": (servers.replies(servers.answer(b"{}", "application/json")), "'application/json', not an exposition"),
    "endless": (servers.endless, "the body is larger than 1048576 bytes"),
    "gigabyte": (_a_gigabyte, "the body is larger than 1048576 bytes"),
    "dripping": (servers.dripping, "no answer within 1 s"),
    "silent": (servers.silent, "no answer within 1 s"),
    "closes": (_closes, "the connection closed before the response was complete"),
    "no http": (servers.replies(b"SSH-2.0-OpenSSH\r\n"), "not HTTP"),
    "failing": (servers.replies(servers.answer(b"no", status="500 Oops")), "HTTP status 500"),
}  # fmt: skip


def test_bad_scrape_targets(tmp_path: Path) -> None:
    """Each is down with its reason; the good one beside them is scraped every second."""
    with contextlib.ExitStack() as open_servers:
        good = servers.replies(servers.answer(servers.GOOD))
        ports = {
            name: open_servers.enter_context(servers.serving(serve))
            for name, (serve, _) in {"good": (good, ""), **TARGETS}.items()
        }
        jobs = [
            {
                "job_name": name,
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "body_size_limit": "1MB",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
            for name, port in ports.items()
        ]
        config = configure(tmp_path / "c.yml", collector={"scrape_configs": jobs})
        with Stack(tmp_path / "data", "--config", str(config)) as stack:

            def scraped() -> list[float]:
                series = stack.query("hits_total[1m]")
                return [at for at, _ in series[0]["values"]] if series else []

            eventually("ten scrapes of the good one", lambda: len(scraped()) >= 10, 30)
            times = scraped()
            up = {s["metric"]["job"]: s["value"][1] for s in stack.query("up")}
            targets = {
                t["labels"]["job"]: t for t in stack.get("/api/v1/targets")["data"]["activeTargets"]
            }

    assert up == {"good": "1"} | dict.fromkeys(TARGETS, "0")
    assert {name: t["health"] for name, t in targets.items()} == {"good": "up"} | dict.fromkeys(TARGETS, "down")  # fmt: skip
    for name, (_, reason) in TARGETS.items():
        assert reason in targets[name]["lastError"], name
    assert all(0.8 < b - a < 1.2 for a, b in itertools.pairwise(times))
    assert "Traceback" not in stack.output()


NASTY = r"""
import os, sys, time
out = sys.stdout.buffer
def line(data): out.write(data + b"\n")
line(b"one before"); line(bytes(b for b in os.urandom(8192) if b != 10)); line(b"two after garbage")
line(b"a \0\0 b"); line(b"three after nul"); line(b"a \xff\xfe\xc3( b"); line(b"four after bad utf-8")
for _ in range(100): out.write(b"L" * (1 << 20))
line(b""); line(b"five after the long line")
line(b"9999-12-31T23:59:59Z six"); line(b"0000-01-01T00:00:00Z seven")
line(b'{"@timestamp":"9999-12-31T23:59:59.999Z","message":"eight"}')
line(b'{"time":"0000-01-01T00:00:00Z","message":"nine"}'); line(b'{"ts":1e300,"message":"ten"}')
line(b'{"message":"deep","a":' + b'{"a":' * 1000 + b"1" + b"}" * 1001); line(b"eleven after depth")
line(b"\x1b[31mERROR twelve in red\x1b[0m")
line(b"thirteen password=hunter2hunter2 token=ghp_abcdefghijklmnopqrstuvwxyz0123456789")
line(b'{"message":"fourteen","password":"hunter2hunter2"}'); line(b"AKIAIOSFODNN7EXAMPLE fifteen")
line(b"the very last"); out.flush(); time.sleep(60)
"""
NUMBERS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def test_bad_log_lines(tmp_path: Path) -> None:
    """Every line around the bad ones is found, the long one cut with a mark, secrets gone, memory bounded."""
    with Stack(tmp_path, "--config", str(configure(tmp_path / "c.yml"))) as stack:
        assert stack.process is not None
        memory = Memory(stack.process)
        with running_task(tmp_path, "nasty", sys.executable, "-c", NASTY):
            eventually("the last line", lambda: stack.logs('task_name:nasty "very last"'), 40)
        documents = every_line(stack, "task_name:nasty")

        def counted() -> dict[str, int]:
            found = stack.query("taskscope_logship_marked_records_total")
            return {s["metric"]["mark"]: int(s["value"][1]) for s in found}

        # 8 and 9 have times that are none; 1000 deep is kept as text
        wanted = {"truncated": 1, "bad_time": 2, "unparsed": 1}
        eventually("counters", lambda: {k: n for k, n in counted().items() if n} == wanted, 10)
        redacted = eventually("redactions", lambda: stack.query("sum(taskscope_logship_redactions_total)"), 10)  # fmt: skip

    messages = [str(d["message"]) for d in documents]
    text = "\n".join(messages)
    for word in NUMBERS.split():
        assert len([m for m in messages if re.search(rf"\b{word}\b", m)]) == 1, word
    assert sum("a \0\0 b" in m for m in messages) == 1
    assert sum("\N{REPLACEMENT CHARACTER}( b" in m for m in messages) == 1
    (cut,) = (d for d in documents if str(d["message"]).startswith("LLL"))
    assert len(cut["message"]) == 1 << 20
    assert "truncated" in cut["log.flags"]
    assert int(cut["log.original_bytes"]) > 1 << 20
    assert "hunter2" not in str(documents)
    assert "ghp_" not in text
    assert "AKIA" not in text
    assert int(redacted[0]["value"][1]) == 4
    now = time.strftime("%Y")
    assert all(str(d["@timestamp"]).startswith(now) for d in documents)
    assert memory.peak_bytes < 250 << 20
    assert "Traceback" not in stack.output()


@pytest.mark.docker
def test_a_container_of_200_milliseconds(tmp_path: Path) -> None:
    """It is listed with its exit code, and its lines are found within ten seconds."""
    image, root = "taskscope-faults:1", tmp_path / "image"
    (root / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin" / "sh")
    packed = subprocess.run(["tar", "-C", str(root), "-c", "."], capture_output=True, check=True)
    subprocess.run(["docker", "import", "-", image], input=packed.stdout, capture_output=True, check=True)  # fmt: skip
    config = configure(tmp_path / "c.yml", discovery={})
    try:
        with Stack(tmp_path / "data", "--config", str(config)) as stack:
            script = "echo first words; sleep 0.2; echo last words; exit 3"
            ran = subprocess.run(
                ["docker", "run", "--rm", "--net", "none", "--name", "taskscope-faults-short", image, "/bin/sh", "-c", script],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert ran.returncode == 3, ran.stderr

            def ended() -> list[dict[str, object]]:
                tasks = stack.get("/api/tasks")
                return [t for t in tasks if t["identity"]["container_name"] == "taskscope-faults-short" and t["ended"]]  # fmt: skip

            task = eventually("it is listed as ended", ended, 10)[0]
            eventually("its lines", lambda: len(stack.logs("container_name:taskscope-faults-short words")) == 2, 10)  # fmt: skip
    finally:
        subprocess.run(["docker", "rmi", "-f", image], capture_output=True, check=False)

    assert task["last_exit"]["code"] == 3


def test_kill_while_alerts_fire(tmp_path: Path) -> None:
    """After ``kill -9`` nothing is resolved that was not, and nobody is paged twice."""
    pager = Pager()
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: a, interval: 1s, rules: [{alert: Now, expr: vector(1)}, "
        "{alert: Soon, expr: node_load1 >= 0, for: 2s}]}]\n"
    )
    config = configure(
        tmp_path / "c.yml",
        alerting={
            "rule_files": ["rules.yml"],
            "shipped_rules": False,
            "group_by": ["alertname"],
            "group_wait_seconds": 0.5,
            "group_interval_seconds": 1,
            "receivers": [{"type": "webhook", "url": pager.url}],
        },
    )
    wanted = {("Now", "firing"), ("Soon", "firing")}
    stack = Stack(tmp_path / "data", "--config", str(config))
    try:
        stack.start()
        eventually("all are paged", lambda: set(pager.told()) == wanted, 20)
        for _ in range(2):
            stack.stop(signal.SIGKILL)
            time.sleep(1.5)
            stack.start()
            time.sleep(4)  # several evaluations and group intervals
            assert Counter(pager.told()) == Counter(wanted)
        alerts = stack.get("/api/v1/alerts")["data"]["alerts"]
        assert {(a["labels"]["alertname"], a["state"]) for a in alerts} == wanted
    finally:
        stack.stop()
        pager.close()
