"""Files that an operator names by patterns: json-file, CRI and plain, rotated, linked, none twice."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from logship.shipper import Shipper
from logship.source.globs import FileSource, Globs
from logship.source.path_owner import owner
from model.log import LogBatch
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import QUICK, RealClock, parse, shipper, shown, until, wrap
from tests.logship.recording import RecordingSink

CONTAINER = "ab" * 32


class Ship:
    """A shipper of files below a folder."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "logs"
        self.root.mkdir()
        self.state = directory / "state"
        self.sink = RecordingSink()
        self.tasks = FakeTaskSource()
        self.ship: Shipper | None = None

    def start(self, *patterns: str, **more: Any) -> None:
        source = FileSource(tuple(f"{self.root}/{pattern}" for pattern in patterns), **more)
        settings = replace(QUICK, files=(source,), cluster="c", host="h")
        self.ship = shipper(self.tasks, self.state, self.sink, settings=settings)
        self.ship.start()

    def stop(self) -> None:
        if self.ship is not None:
            self.ship.stop()
            self.ship = None

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        return path

    def arrives(self, *texts: str) -> bool:
        """Wait until all of them, and nothing else, are there."""
        return until(lambda: sorted(self.sink.texts) == sorted(texts)) and not until(
            lambda: len(self.sink.texts) != len(texts), 0.2
        )

    def batch(self, text: str) -> LogBatch:
        """Return the batch that a line came in."""
        return next(b for b in self.sink.batches if text in map(b.text, range(len(b))))


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Ship]:
    """One that is not started yet."""
    ship = Ship(tmp_path)
    yield ship
    ship.stop()


CRI = "2026-11-22T09:00:00.{n:09d}Z {stream} {tag} {text}\n"


def cri(*lines: tuple[str, str, str]) -> str:
    """Return lines (stream, tag, text) as a runtime writes them."""
    return "".join(CRI.format(n=n, stream=s, tag=t, text=x) for n, (s, t, x) in enumerate(lines))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (cri(("stdout", "F", "one"), ("stderr", "F", "ERROR two")), ["-||one|", "e||ERROR two|"]),
        (cri(("stdout", "P", "one "), ("stderr", "F", "between"), ("stdout", "F", "two")), ["-||one two|", "-||between|"]),
        (cri(("stdout", "P:x", "a"), ("stdout", "F:x", "b")), ["-||ab|"]),
        (cri(("stdout", "F", "")), ["-|||"]),
        (cri(("stdout", "F", '{"level":"warn","msg":"x"}')), ["w||x|"]),
        (cri(("stdout", "F", "good")) + "torn li\n" + cri(("stdout", "F", "after")), ["-||good|", "-|unparsed|torn li|", "-||after|"]),
        ("2026-11-22T09:00:00Z stdout F\n", ["-|||"]),
    ],
)  # fmt: skip
def test_cri_lines(data: str, expected: list[str]) -> None:
    """Whole lines, parts that are joined, empty and torn ones, JSON within."""
    assert [row.replace("|{}", "|") for row in shown(parse(data, wrapping="cri"))] == expected


def test_cri_time_and_stream() -> None:
    """The runtime's nanoseconds stand where the line names no time."""
    parsed = parse(cri(("stdout", "F", "a"), ("stderr", "F", "b")), wrapping="cri")

    assert {(b.stream, int(b.ts_ns[0]) % 10**9) for b in parsed.batches} == {("stdout", 0), ("stderr", 1)}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (wrap("one\n") + wrap("two\n"), ["one", "two"]),
        (cri(("stdout", "F", "one"), ("stdout", "F", "two")), ["one", "two"]),
        ("one\ntwo\n", ["one", "two"]),
        ('{"log":"no wrapper","a":1}\n', []),
    ],
)
def test_the_wrapper_is_found_out(ship: Ship, content: str, texts: list[str]) -> None:
    """With ``format: auto``, by the first line; it stays so after a restart in the middle."""
    ship.write("a.log", content)
    ship.start("*.log")
    first = until(lambda: len(ship.sink.texts) == content.count("\n"))
    ship.stop()
    ship.write("a.log", content)
    ship.start("*.log")

    assert first
    assert until(lambda: len(ship.sink.texts) == 2 * content.count("\n"))
    assert not texts or ship.sink.texts == texts * 2


def test_own_words_and_places(ship: Ship) -> None:
    """Records carry the app, the host and the file; new files are found, those that are gone are let go."""
    path = ship.write("billing/a.log", "one\n")
    ship.start("*/*.log", app="billing")
    first = ship.arrives("one")
    ship.write("other/b.log", "two\n")
    second = ship.arrives("one", "two")
    path.unlink()

    assert first
    assert second
    identity = ship.batch("two").identity
    assert (identity.app, identity.host, identity.cluster, identity.framework) == ("billing", "h", "c", "host")  # fmt: skip
    assert ship.batch("one").tags == {"log.file.path": str(path)}
    assert ship.batch("one").stream == "a.log"
    assert ship.ship is not None
    assert until(lambda: ship.ship and ship.ship.status().streams == 1)


def test_latest_is_not_shipped_twice(ship: Ship) -> None:
    """Mesos' ``runs/latest`` is a link to a run; each file counts once, with framework, executor and run."""
    base = "slaves/S1/frameworks/F1/executors/shop.1b4e28ba-2fa1-11d2-883f-0016d3cca427/runs"
    ship.write(f"{base}/r-1/stdout", "old run\n")
    ship.write(f"{base}/r-2/stdout", "new run\n")
    (ship.root / base / "latest").symlink_to("r-2")
    ship.start("slaves/*/frameworks/*/executors/*/runs/*/stdout", f"{base}/latest/stdout")

    assert ship.arrives("old run", "new run")
    identity = ship.batch("new run").identity
    assert (identity.framework, identity.app, identity.container_id) == ("F1", "shop", "r-2")
    assert identity.task_id.startswith("shop.1b4e28ba")


def test_a_link_that_is_put_elsewhere(ship: Ship, tmp_path: Path) -> None:
    """The file it led to is read to its end, the other from its start, also under the old banner."""
    (tmp_path / "one").write_text("banner\none\n")
    (tmp_path / "two").write_text("banner\ntwo\n")
    (ship.root / "current.log").symlink_to(tmp_path / "one")
    ship.start("*.log")
    first = ship.arrives("banner", "one")
    with (tmp_path / "one").open("a") as file:
        file.write("last of one\n")
    (ship.root / "new").symlink_to(tmp_path / "two")
    (ship.root / "new").rename(ship.root / "current.log")
    second = ship.arrives("banner", "one", "last of one", "banner", "two")
    with (tmp_path / "two").open("a") as file:
        file.write("more\n")

    assert first
    assert second
    assert until(lambda: "more" in ship.sink.texts)


def test_file_and_link_to_it(ship: Ship) -> None:
    """Of a file and a link that both match, the file counts."""
    ship.write("app-1.log", "one\n")
    (ship.root / "app.log").symlink_to("app-1.log")
    ship.start("*.log")

    assert ship.arrives("one")


def test_rotated_names_match_too(ship: Ship) -> None:
    """A pattern that also matches ``.1`` and ``.gz`` ships each line once."""
    ship.write("app.log.1", "older\n")
    path = ship.write("app.log", "newer\n")
    ship.start("app.log*")
    first = ship.arrives("older", "newer")
    (ship.root / "app.log.1").rename(ship.root / "app.log.2")
    path.rename(ship.root / "app.log.1")
    until(lambda: False, 1.5)  # so that the pattern is looked at without the log itself
    ship.write("app.log", "newest\n")

    assert first
    assert ship.arrives("older", "newer", "newest")


def test_a_container_of_docker_is_not_shipped_twice(ship: Ship) -> None:
    """A pattern over Docker's folder leaves the logs alone that are a known task's."""
    path = ship.write(f"containers/{CONTAINER}/{CONTAINER}-json.log", wrap("known\n"))
    other = "cd" * 32
    ship.write(f"containers/{other}/{other}-json.log", wrap("unknown\n"))
    ship.tasks.set(make_task("web", log_path=str(path), log_driver="json-file"))
    ship.start("containers/*/*-json.log")

    assert ship.arrives("known", "unknown")
    assert ship.batch("known").identity.task_name == "web"
    assert ship.batch("unknown").identity.container_id == other


def test_sources_can_be_left_out(ship: Ship, tmp_path: Path) -> None:
    """Without ``docker`` and ``sandbox`` among the sources, only the files are read."""
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "stdout").write_text("sandbox\n")
    ship.tasks.set(make_task("web", sandbox=str(tmp_path / "sandbox")))
    ship.write("a.log", "file\n")
    source = FileSource((f"{ship.root}/*.log",))
    settings = replace(QUICK, files=(source,), kinds=frozenset())
    ship.ship = shipper(ship.tasks, ship.state, ship.sink, settings=settings)
    ship.ship.start()

    assert ship.arrives("file")


def test_what_finds_nothing_is_said(ship: Ship) -> None:
    """A pattern with a slip of the pen does not stay unseen."""
    ship.start("nothing/*.log")

    assert ship.ship is not None
    assert any("nothing/*.log matches no file" in said for said in ship.ship.status().problems)


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ("*.log", (), ["a.log"]),
        ("**/*.log", (), ["a.log", "x/b.log", "x/y/c.log"]),
        ("**/*.log", ("x/y/**",), ["a.log", "x/b.log"]),
        ("**/*.log", ("**/[ab].log",), ["x/y/c.log"]),
        ("x/**/c.log", (), ["x/y/c.log"]),
        ("x/*/c.log", (), ["x/y/c.log"]),
        ("?.log", (), ["a.log"]),
        (".*.log", (), [".hidden.log"]),
        ("link/*.log", (), ["x/b.log"]),
        ("l*/*.log", (), []),
        ("*", (), ["a.log", "a.txt"]),
        ("a.log", (), ["a.log"]),
    ],
)
def test_patterns(tmp_path: Path, include: str, exclude: tuple[str, ...], expected: list[str]) -> None:  # fmt: skip
    """Wildcards stay within a name, ``**`` does not; links to folders are gone into by name only."""
    for name in ("a.log", "a.txt", ".hidden.log", "x/b.log", "x/y/c.log", "x/y/pipe.log/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "pipe.log")
    source = FileSource((f"{tmp_path}/{include}",), tuple(f"{tmp_path}/{e}" for e in exclude))

    found = Globs((source,), RealClock()).expand()

    assert sorted(str(log.path.relative_to(tmp_path)) for log in found) == sorted(expected)


def test_listing_again_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that has not changed is not listed anew; one that has is."""
    (tmp_path / "a.log").touch()
    os.utime(tmp_path, (1, 1))
    globs = Globs((FileSource((f"{tmp_path}/*.log",)),), RealClock())
    listed: list[object] = []
    real = os.scandir

    def scandir(path: str) -> Any:
        listed.append(path)
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    before = [len(globs.expand()) for _ in range(3)]
    (tmp_path / "b.log").touch()
    after = len(globs.expand())

    assert before == [1, 1, 1]
    assert after == 2
    assert len(listed) == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/log/pods/shop_web-7d9f_1b4e/app/0.log", ("kubernetes", "shop", "app", "web-7d9f", "1b4e/app", "")),
        ("/m/slaves/S/frameworks/marathon/executors/e.1/runs/r/stderr", ("marathon", "default", "e.1", "e.1", "e.1", "r")),
        (f"/var/lib/docker/containers/{CONTAINER}/{CONTAINER}-json.log", ("docker", "default", CONTAINER[:12], CONTAINER[:12], CONTAINER, CONTAINER)),
        ("/var/log/nginx/access.log", ("host", "default", "access", "access", "h/access", "")),
    ],
)  # fmt: skip
def test_whose_a_file_is(path: str, expected: tuple[str, ...]) -> None:
    """The path tells what there is to tell."""
    identity = owner(Path(path), app="", cluster="c", host="h").identity

    assert (identity.framework, identity.namespace, identity.app, identity.task_name, identity.task_id, identity.container_id) == expected  # fmt: skip
