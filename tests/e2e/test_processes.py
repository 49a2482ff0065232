"""The demo without Docker: plain processes with sandboxes."""

from pathlib import Path

import pytest

from tests.e2e.stack import Stack, cli, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def test_processes_are_listed_measured_and_tailed(tmp_path: Path) -> None:
    """Every process task is there with usage and lines within a minute, and gone after ``--stop``."""
    with Stack(tmp_path) as stack:
        started = cli("demo", "--processes", "--data-dir", str(tmp_path))
        assert started.returncode == 0, started.stderr
        wanted = {"shop-1", "shop-2", "worker", "report-job", "chatty"}
        try:
            eventually("all listed", lambda: wanted <= set(stack.tasks()), 30)
            eventually(
                "all logged", lambda: all(stack.logs(f"task_name:{n}", 1) for n in wanted), 40
            )
            eventually(
                "shop-2 unhealthy",
                lambda: stack.tasks()["shop-2"]["health"]["status"] == "unhealthy",
                90,
            )
            eventually("usage", lambda: stack.tasks()["worker"]["memory_bytes"], 40)
        finally:
            stopped = cli("demo", "--stop", "--data-dir", str(tmp_path))

        assert stopped.returncode == 0, stopped.stderr
        assert list((tmp_path / "tasks").iterdir()) == []
