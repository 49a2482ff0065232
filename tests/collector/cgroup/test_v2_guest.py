"""cgroup version 2 on the real thing: a guest with Docker, booted on the host's own files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
GUEST = PROJECT / "../shared/services/cgroup2-vm"


@pytest.mark.vm
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("shared")
def test_a_paused_container_in_the_guest_has_the_figures_of_dockers_api(tmp_path: Path) -> None:
    """Throttled, with block I/O, an OOM kill and limits: our figures are those of API and kernel to the last digit."""
    guest = GUEST.resolve()
    home = os.environ.get("CG2_HOME", str(Path.home() / ".cache/taskscope/cg2"))
    done = subprocess.run(
        [str(guest / "cg2vm"), "bash", "tests/collector/cgroup/guest.sh", str(guest), sys.executable],
        cwd=PROJECT,
        env={**os.environ, "CG2_HOME": home, "CG2_OUT": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert said["different"] == {}
    assert said["compared"] == 19
    assert said["busy"] > 0
