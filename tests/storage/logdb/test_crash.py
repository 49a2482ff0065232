"""``kill -9`` at random moments, and a disk that is full."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import DeliveryError
from storage.interface import LogQuery
from tests.storage.logdb.logs import find, make_batch, make_db

WRITER = """
import sys, time
from pathlib import Path
from model.errors import DeliveryError
from tests.storage.logdb.logs import make_batch, make_db
db = make_db(Path(sys.argv[1]), seal_bytes=20_000)
db.start()
first = int(sys.argv[2])
for n in range(first, 10_000_000):
    lines = [f"line {n} {i} " + "x" * 60 for i in range(20)]
    batch = make_batch(lines, source=f"s{n % 3}", task=f"t{n % 3}", offset=n * 10_000)
    while True:
        try:
            delivery, ticket = db.append(batch)
            break
        except DeliveryError as error:
            assert "as fast as" in str(error)
            time.sleep(0.01)
    assert ticket.wait(10)
    print(n, flush=True)
"""


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))]
)
def test_kill_loses_nothing_acknowledged(tmp_path: Path, seed: int) -> None:
    """After each kill every acknowledged record is there, none twice, and shipping again adds nothing."""
    chance = random.Random(seed)
    acknowledged = -1
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(max(0, acknowledged))],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.9))
        process.send_signal(signal.SIGKILL)
        lines = [first, *process.stdout]
        process.wait()
        process.stdout.close()
        acknowledged = max(acknowledged, *(int(n) for n in lines if n.endswith("\n")))

    db = make_db(tmp_path, seal_bytes=20_000)
    db.start()
    found: Counter[str] = Counter()
    cursor = ""
    while True:
        page = db.search(LogQuery(limit=5000, cursor=cursor))
        found.update(record.id for record in page.records)
        cursor = page.cursor
        if not cursor:
            break
    again = make_batch(
        [f"line {acknowledged} {i} " + "x" * 60 for i in range(20)],
        source=f"s{acknowledged % 3}",
        task=f"t{acknowledged % 3}",
        offset=acknowledged * 10_000,
    )
    status = db.append(again)[0].status.tolist()
    db.stop()

    assert acknowledged >= 0
    assert set(found.values()) == {1}
    # a batch that was written but whose acknowledgement the kill swallowed may be there too
    assert len(found) in {20 * (acknowledged + 1), 20 * (acknowledged + 2)}
    assert status == [409] * 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(mount)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.root
def test_full_disk_is_said_and_searches_go_on(small_disk: Path) -> None:
    """On a full disk batches are refused for now, what is there can be searched, and room makes it go on."""
    ballast = small_disk / "ballast"
    db = make_db(small_disk / "logs")
    db.start()
    db.append(make_batch(["kept"]))
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(b"\0" * 4 * 1024 * 1024)
    refused: list[DeliveryError] = []
    stored = 0
    for n in range(1, 100):
        try:
            db.append(
                make_batch(
                    [f"line {n} " + random.Random(n).randbytes(4000).hex()], offset=n * 10_000
                )
            )
            stored += 1
        except DeliveryError as error:
            refused.append(error)
            break
    with pytest.raises(OSError, match="No space"):
        db.seal()
    during = len(find(db))
    ballast.unlink()
    after = db.append(make_batch(["later"], offset=10_000_000))[0].status.tolist()
    db.seal()
    db.stop()
    again = make_db(small_disk / "logs")
    again.start()

    assert refused[0].retryable
    assert "No space left" in str(refused[0])
    assert during == stored + 1
    assert after == [201]
    assert len(find(again)) == stored + 2
    assert again.lost == ()
    again.stop()
