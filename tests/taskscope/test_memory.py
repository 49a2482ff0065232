"""Threads share one arena."""

import platform
import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, tempfile, threading
from taskscope.memory import one_arena
if "one" in sys.argv:
    assert one_arena()
allocate, release = threading.Barrier(9), threading.Barrier(9)
def work():
    kept = [bytes(1000) for _ in range(1000)]
    allocate.wait()
    release.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
allocate.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
with tempfile.TemporaryFile() as told:
    stream = ctypes.c_void_p(libc.fdopen(told.fileno(), b"w"))
    libc.malloc_info(0, stream)
    libc.fflush(stream)
    told.seek(0)
    print(told.read().count(b"<heap nr="))
release.wait()
"""


def _arenas(*arguments: str) -> int:
    """Return in how many arenas a process with eight busy threads has its memory."""
    shown = subprocess.run([sys.executable, "-c", THREADS, *arguments], check=True, capture_output=True, text=True)  # fmt: skip
    return int(shown.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_threads_share_one_arena() -> None:
    """Without the setting each thread gets one of its own."""
    assert _arenas("one") == 1 < _arenas()
