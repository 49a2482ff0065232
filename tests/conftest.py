"""Which services are here, and what becomes of tests whose service is not.

A marked test whose service is missing is skipped with the reason; in CI (``CI=true``) it fails.
"""

import functools
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.needs import leave_out

ROOT = Path(__file__).parents[1]
SHARED = ROOT / ".." / "shared"
CACHE = Path(
    os.environ.get("TASKSCOPE_TEST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskscope"
)
ELASTICSEARCH = f"http://127.0.0.1:{os.environ.get('TASKSCOPE_TEST_ES_PORT', '19200')}"
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

os.environ["PATH"] = f"{CACHE / 'bin'}{os.pathsep}{os.environ['PATH']}"


@functools.cache
def _docker() -> str:
    if shutil.which("docker") is None:
        return "no docker command"
    answer = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    return "" if answer.returncode == 0 else "the Docker Engine does not answer"


@functools.cache
def _elasticsearch() -> str:
    try:
        with urllib.request.urlopen(f"{ELASTICSEARCH}/_cluster/health", timeout=5):
            return ""
    except OSError as error:
        return f"no Elasticsearch at {ELASTICSEARCH}: {error}"


def _browser() -> str:
    return "" if CHROMIUM else "no Chromium"


def _peer() -> str:
    missing = [tool for tool in ("promtool", "amtool") if shutil.which(tool) is None]
    return f"no {' or '.join(missing)}" if missing else ""


def _root() -> str:
    return "" if os.geteuid() == 0 else "not root"


def _vm() -> str:
    if _root() or shutil.which("qemu-system-x86_64") is None:
        return "no root or no qemu"
    return "" if (CACHE / "cg2" / "initrd.img").exists() else "the cgroup v2 guest is not prepared"


SERVICES: dict[str, Callable[[], str]] = {
    "docker": _docker,
    "elasticsearch": _elasticsearch,
    "browser": _browser,
    "peer": _peer,
    "root": _root,
    "vm": _vm,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test whose service is not here."""
    for name, missing in SERVICES.items():
        if item.get_closest_marker(name) is None:
            continue
        if reason := missing():
            leave_out(f"{name}: {reason}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of data made by others; leaves the test out where it is not there."""
    if not SHARED.is_dir():
        leave_out("no ../shared")
    return SHARED


@pytest.fixture(scope="session")
def elasticsearch_url() -> str:
    """Return the address of a real Elasticsearch node without security."""
    return ELASTICSEARCH


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a real Chromium."""
    assert CHROMIUM is not None
    return CHROMIUM


@pytest.fixture(scope="session")
def cache() -> Path:
    """Return where fetched services are kept."""
    return CACHE
