"""Freed memory stays for the next batch."""

import platform
import subprocess
import sys

import pytest

BATCHES = """
import resource, sys
from logship.memory import keep_freed
if "keep" in sys.argv:
    assert keep_freed()
def work():
    [b"x" * (6 << 20), b"x" * (6 << 20)]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
before = faults()
for _ in range(20):
    work()
print((faults() - before) * resource.getpagesize() >> 20)
"""


def _faulted_mb(*arguments: str) -> int:
    """Return how many MiB of pages twenty batches of 12 MiB cost a process that has had one."""
    shown = subprocess.run([sys.executable, "-c", BATCHES, *arguments], check=True, capture_output=True, text=True)  # fmt: skip
    return int(shown.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_batches_do_not_fault_their_pages_in_again() -> None:
    """What a batch has freed is there for the next one."""
    assert _faulted_mb("keep") < 20 < _faulted_mb()
