"""The demo's container image: this very Python interpreter, made into a tar without any registry.

It holds the interpreter, its standard library (without tests and tools), the shared libraries that
``ldd`` names, and ``programs.py``; everything stands where it stands on the host.
"""

import io
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from model.errors import OperatorError

_LEFT_OUT = frozenset({
    "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "turtledemo", "pydoc_data",
    "site-packages", "dist-packages", "__pycache__",
})  # fmt: skip
PROGRAM = "/demo/programs.py"


def interpreter() -> str:
    """Return the path of the interpreter inside the image."""
    return str(Path(sys.executable).resolve())


def program() -> bytes:
    """Return the program that the image carries; its digest names the image."""
    return Path(__file__).with_name("programs.py").read_bytes()


def build() -> bytes:
    """Return the image as a tar, about 50 MB.

    Raises:
        OperatorError: If this interpreter cannot be packed (no Linux, no ``ldd``).
    """
    if not sys.platform.startswith("linux"):
        raise OperatorError(f"a container image cannot be made from a Python for {sys.platform}")
    files = _files()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        for folder in ("tmp", "proc", "sys", "dev", "etc"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        for path in sorted(files):
            tar.add(path, arcname=str(path).lstrip("/"), recursive=False)
        tar.add(Path(__file__).with_name("programs.py"), arcname=PROGRAM.lstrip("/"))
    return out.getvalue()


def _files() -> set[Path]:
    binary = Path(interpreter())
    stdlib = Path(
        sysconfig.get_path(
            "stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}
        )
    )
    library = {
        path for path in stdlib.rglob("*") if path.is_file() and _wanted(path.relative_to(stdlib))
    }
    extensions = [path for path in library if path.suffix == ".so"]
    return {binary} | library | _shared_libraries([binary, *extensions])


def _wanted(path: Path) -> bool:
    return path.suffix != ".a" and not any(
        part in _LEFT_OUT or part.startswith("config-") for part in path.parts
    )


def _shared_libraries(binaries: list[Path]) -> set[Path]:
    try:
        answer = subprocess.run(
            ["ldd", *map(str, binaries)], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise OperatorError(f"a container image needs ldd: {error.strerror}") from error
    found = set()
    for line in answer.stdout.splitlines():
        words = line.split()
        target = words[2] if len(words) > 3 and words[1] == "=>" else words[0] if words else ""
        if target.startswith("/") and not target.endswith(":"):
            found.add(Path(target))
    return found
