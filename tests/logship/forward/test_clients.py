"""Real clients: the fluent-logger package, and Docker's fluentd log driver."""

import json
import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fluent import handler, sender
from msgspec.structs import replace

from model.log import Level
from model.task import ContainerID, TaskID
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.forward.receiving import receiving
from tests.logship.harness import until

IMAGE = "forward-test/busybox:1"


def test_fluent_logger_applications_send_straight_in(tmp_path: Path) -> None:
    """Its sender with nanoseconds and texts that are no UTF-8, and its logging handler."""
    with receiving(tmp_path) as agent:
        fluent = sender.FluentSender("orders", host="127.0.0.1", port=agent.server.port, nanosecond_precision=True)  # fmt: skip
        assert fluent.emit_with_time("pay", 1_795_341_600.25, {"message": "paid", "level": "error", "cents": 250})  # fmt: skip
        assert fluent.emit("pay", {"message": "raw", "bytes": b"\xff\x00"})
        fluent.close()
        logger = logging.getLogger("billing-of-a-test")
        handles = handler.FluentHandler("billing.app", host="127.0.0.1", port=agent.server.port)
        handles.setFormatter(handler.FluentRecordFormatter({"severity": "%(levelname)s", "where": "%(module)s"}))  # fmt: skip
        logger.addHandler(handles)
        logger.propagate = False
        logger.warning({"message": "low on %s", "stock": "nails"})
        handles.close()
        assert until(lambda: len(agent.sink.records) == 3)

    found = {
        b.text(row): (b.identity.app, int(b.levels[row]), b.buf[b.fields.starts[row] : b.fields.ends[row]].decode())
        for b in agent.sink.batches for row in range(len(b))
    }  # fmt: skip
    assert found["paid"] == ("orders", Level.ERROR, '{"cents":250}')
    assert found["raw"][0] == "orders"
    app, level, fields = found["low on %s"]
    assert (app, level) == ("billing", Level.WARN)
    assert json.loads(fields)["stock"] == "nails"
    assert json.loads(fields)["where"] == "test_clients"


def docker(*words: str) -> str:
    """Run the docker command."""
    answer = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of nothing but a static busybox, made without a registry."""
    root = tmp_path_factory.mktemp("image")
    (root / "bin").mkdir()
    (root / "bin" / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin" / "busybox").chmod(0o755)
    (root / "bin" / "sh").symlink_to("busybox")
    archive = root / "image.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "bin"], check=True)
    docker("import", str(archive), IMAGE)
    yield IMAGE
    docker("rmi", "-f", IMAGE)


@pytest.mark.docker
@pytest.mark.parametrize("acknowledged", [False, True])
def test_docker_fluentd_driver(tmp_path: Path, image: str, acknowledged: bool) -> None:
    """A real container's lines: both streams, a line of 40 KB in one piece, bytes that are no UTF-8, a trace, the last line before it dies."""
    name = f"forward-test-{time.time_ns():x}"
    script = (
        "echo one; echo two >&2; busybox yes long-line | busybox head -c 40000 | busybox tr -d '\\n'; echo;"
        "busybox printf 'bad \\377 byte\\n'; echo 'ERROR it broke'; echo 'java.lang.Oops: x'; busybox printf '\\tat a.B.c(D.java:1)\\n'; echo '{\"level\":\"warn\",\"msg\":\"json\"}'; busybox sleep 0.3; busybox printf last; exit 3"
    )  # fmt: skip
    tasks = FakeTaskSource()
    with receiving(tmp_path, tasks) as agent:
        options = ["--log-driver=fluentd", f"--log-opt=fluentd-address=127.0.0.1:{agent.server.port}", "--log-opt=fluentd-sub-second-precision=true"]  # fmt: skip
        options += [f"--log-opt=fluentd-request-ack={str(acknowledged).lower()}"]
        began = time.time_ns()
        try:
            container = docker("run", "-d", "--name", name, "--network", "none", *options, image, "/bin/sh", "-c", script)  # fmt: skip
            task = make_task(TaskID(container), log_driver="fluentd")
            tasks.set(replace(task, identity=replace(task.identity, task_id=TaskID(container), container_id=ContainerID(container))))  # fmt: skip
            assert until(lambda: len(agent.sink.records) >= 7, 10)
        finally:
            docker("rm", "-f", name)

    assert {b.identity.task_id for b in agent.sink.batches} == {container}
    rows = sorted((int(b.ts_ns[row]), b.stream, b.text(row), int(b.levels[row])) for b in agent.sink.batches for row in range(len(b)))  # fmt: skip
    texts = [row[2] for row in rows]
    assert len(texts) == 7
    assert set(texts) == {
        "one", "two", "last", "json", "bad \N{REPLACEMENT CHARACTER} byte",
        "ERROR it broke\njava.lang.Oops: x\n\tat a.B.c(D.java:1)",
        ("long-line\n" * 4001).replace("\n", "")[: 40000 - 4000],
    }  # fmt: skip
    assert {row[2]: row[1] for row in rows}["two"] == "stderr"
    assert {row[2]: row[3] for row in rows}["json"] == Level.WARN
    assert all(began - 10**9 < row[0] < time.time_ns() for row in rows)
