"""Scraping real servers: what comes in, what fails and why, what goes stale."""

import gzip
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from collector.scrape.discovery import FileConfig, ScrapeConfig, StaticConfig
from collector.scrape.manager import ScrapeManager
from collector.scrape.relabel import RelabelRule
from collector.scrape.target import Credentials, ScrapeJob, Tls
from model.samples import is_stale
from model.task import TaskState
from tests.collector.scrape.servers import (
    GOOD,
    Serve,
    answer,
    certificate,
    dripping,
    endless,
    replies,
    serving,
    silent,
)
from tests.fakes.store import MemoryStore
from tests.fakes.tasks import FakeTaskSource, make_task

INTERVAL = 0.2


class RealClock:
    """The time as it is."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


class Rig:
    """A manager over a store, and what can be asked of both."""

    def __init__(self, configs: list[ScrapeConfig], tasks: FakeTaskSource | None = None) -> None:
        self.store, self.registry = MemoryStore(), CollectorRegistry()
        self.tasks = tasks or FakeTaskSource()
        self.manager = ScrapeManager(
            self.tasks, self.store, configs, RealClock(), self.registry, defaults=job(name="containers")
        )  # fmt: skip

    def values(self, name: str, **labels: str) -> list[float | str]:
        """Return the values of the one series that has these labels; ``stale`` for stale markers."""
        found = [
            samples
            for one, samples in self.store.samples.copy().items()  # the manager goes on writing
            if {"__name__": name, **labels}.items() <= one.asdict().items()
        ]
        assert len(found) <= 1, found
        points = [v for _, v in sorted(found[0].copy().items())] if found else []
        return ["stale" if is_stale(np.array([v])).all() else float(v) for v in points]

    def target(self, index: int = 0) -> dict[str, Any]:
        """Return one line of the targets page."""
        return self.manager.targets()["activeTargets"][index]


def job(name: str = "job", **words: Any) -> ScrapeJob:
    """Return a job that scrapes often."""
    return ScrapeJob(name, **{"interval_seconds": INTERVAL, "timeout_seconds": INTERVAL, **words})


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    """Return a maker of started rigs; ports become targets of one job."""
    with ExitStack() as stack:

        def make(*ports: int, tasks: FakeTaskSource | None = None, **words: Any) -> Rig:
            static = StaticConfig(tuple(f"127.0.0.1:{port}" for port in ports), {"zone": "a"})
            made = Rig([ScrapeConfig(job(**words), (static,))], tasks)
            stack.callback(made.manager.stop)
            made.manager.start()
            return made

        yield make


def test_a_target_is_scraped_again_and_again(rig: Callable[..., Rig]) -> None:
    """Samples with the target's labels, its own report, metadata, one connection for all scrapes."""
    requests = []

    def serve(connection: Any, request: bytes) -> None:
        requests.append((connection, request))
        connection.sendall(answer(b'# HELP hits Hits.\nhits{job="x",b="y"} %d\n' % len(requests)))

    with serving(serve) as port:
        made = rig(port)
        until(lambda: len(made.values("hits")) >= 3)
        made.manager.stop()

    own = {"job": "job", "instance": f"127.0.0.1:{port}", "zone": "a"}
    assert made.values("hits", exported_job="x", b="y", **own)[:3] == [1, 2, 3]
    assert made.values("up", **own)[:3] == [1, 1, 1]
    assert made.values("scrape_samples_scraped", **own)[0] == 1
    assert made.values("scrape_series_added", **own)[:2] == [1, 0]
    assert made.store.metadata("hits")["hits"].help == "Hits."
    assert len({id(connection) for connection, _ in requests}) == 1
    text = requests[0][1].decode()
    assert text.startswith("GET /metrics HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{port}\r\n" in text
    assert "\r\nAccept-Encoding: gzip" in text
    shown = made.target()
    assert (shown["health"], shown["lastError"], shown["scrapeUrl"]) == (
        "up", "", f"http://127.0.0.1:{port}/metrics",
    )  # fmt: skip


HTML = b"<html><body>" + b"<p>hello</p>\n" * 50 + b"</body></html>"


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (replies(answer(HTML, "text/html")), "'text/html', not an exposition"),
        (replies(answer(HTML)), "not an exposition: b'<html>"),
        (replies(answer(os.urandom(5000))), "not an exposition"),
        (replies(answer(b"", status="503 Service Unavailable")), "HTTP status 503"),
        (replies(answer(b"", "text/plain", "302 Found", "Location: http://x/")), "redirects are not followed"),
        (replies(b"\x16\x03\x01\x02\x00\x01\x00\x01"), "not HTTP"),
        (replies(answer(GOOD, "application/openmetrics-text; version=1.0.0")), "does not end with # EOF"),
        (silent, "no answer within 0.2 s"),
        (dripping, "no answer within 0.2 s"),
        (endless, "larger than 1000000 bytes"),
        (replies(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\na 1"), "larger than 1000000 bytes"),
        (lambda connection, request: connection.close(), "closed before"),
    ],
    ids=["html", "html-as-text", "binary", "503", "redirect", "tls-port", "no-eof", "silent", "dripping", "endless", "1GB", "closes"],
)  # fmt: skip
def test_a_nasty_target_is_down_with_a_reason_and_delays_nobody(
    rig: Callable[..., Rig], serve: Serve, reason: str
) -> None:
    """``up`` is 0 and says why; the good target beside it is scraped on time."""
    with serving(serve) as nasty, serving(replies(answer(GOOD))) as good:
        made = rig(nasty, good, body_size_limit_bytes=1_000_000)
        until(lambda: len(made.values("up", instance=f"127.0.0.1:{nasty}")) >= 2)
        until(lambda: len(made.values("up", instance=f"127.0.0.1:{good}")) >= 4)
        made.manager.stop()

    assert set(made.values("up", instance=f"127.0.0.1:{nasty}")) == {0.0}
    assert set(made.values("up", instance=f"127.0.0.1:{good}")) == {1.0}
    (shown,) = [
        t for t in made.manager.targets()["activeTargets"] if t["labels"]["instance"].endswith(str(nasty))
    ]  # fmt: skip
    assert shown["health"] == "down"
    assert reason in shown["lastError"]
    times = sorted(
        ts
        for labels, samples in made.store.samples.items()
        if labels.get("__name__") == "up" and labels.get("instance").endswith(str(good))
        for ts in samples
    )
    assert max(np.diff(times)) < 3 * INTERVAL * 1000


def test_nobody_listening(rig: Callable[..., Rig]) -> None:
    """A port without a listener is down: refused."""
    with serving(silent) as port:
        pass  # closed again
    made = rig(port)
    until(lambda: made.values("up"))

    assert made.values("up") == [0] * len(made.values("up"))
    until(lambda: made.target()["lastError"] == "the connection was refused")


def test_series_and_targets_that_go_are_stale_at_once(rig: Callable[..., Rig]) -> None:
    """A series that is not exposed any more, a failed scrape and a target that goes: one stale marker each."""
    bodies = [b"a 1\nb 1\n", b"a 2\n", b"", b"a 4\n"]
    turn = iter(range(1000))

    def serve(connection: Any, request: bytes) -> None:
        number = next(turn)
        if number == 2:
            connection.sendall(answer(b"", status="500 Oops"))
        else:
            connection.sendall(answer(bodies[min(number, 3)]))

    with serving(serve) as port:
        task = make_task("web", address="127.0.0.1", labels={"taskscope.scrape.port": str(port)})
        tasks = FakeTaskSource(task)
        made = rig(tasks=tasks)
        until(lambda: len(made.values("a")) >= 4)
        tasks.set()
        until(lambda: made.values("up")[-1] == "stale")
        made.manager.stop()

    a = made.values("a", task_id="web-id")
    assert (a[:4], a[-1]) == ([1, 2, "stale", 4], "stale")
    assert a.count("stale") == 2
    assert made.values("b") == [1, "stale"]
    up = made.values("up", app="shop")
    assert (up[:4], up.count("stale")) == ([1, 1, 0, 1], 1)


@pytest.mark.parametrize(
    ("labels", "url"),
    [
        ({"taskscope.scrape.port": "{port}"}, "http://127.0.0.1:{port}/metrics"),
        ({"prometheus.io/scrape": "true", "prometheus.io/port": "{port}", "prometheus.io/path": "/m"}, "http://127.0.0.1:{port}/m"),
        ({"taskscope.scrape.enabled": "true", "taskscope.scrape.path": "m?x=1 2\r\nEvil: y"}, "http://127.0.0.1:{port}/m?x=1%202%0D%0AEvil:%20y"),
        ({"prometheus.io/scrape": "false", "prometheus.io/port": "{port}"}, None),
        ({"taskscope.scrape.port": "evil:80"}, None),
        ({"taskscope.scrape.port": "99999"}, None),
        ({"taskscope.scrape.port": "80", "taskscope.scrape.interval_seconds": "soon"}, None),
        ({"taskscope.scrape.port": "80", "taskscope.scrape.scheme": "file"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_what_a_container_may_declare(labels: dict[str, str], url: str | None) -> None:
    """Port and path at its own address; anything else is no target, and a mistake is said."""
    from model.task import Port

    labels = {key: value.replace("{port}", "8080") for key, value in labels.items()}
    task = make_task("web", address="127.0.0.1", labels=labels, ports=(Port(8080),))
    made = Rig([], FakeTaskSource(task, make_task("no", state=TaskState.FAILED, labels=labels)))
    made.manager.start()
    made.manager.stop()

    shown = [target["scrapeUrl"] for target in made.manager.targets()["activeTargets"]]
    assert shown == ([url.replace("{port}", "8080")] if url else [])
    declared = bool(labels) and labels.get("prometheus.io/scrape") != "false"
    assert bool(made.manager.problems()) == (declared and url is None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"sample_limit": 2}, "3 samples, sample_limit is 2"),
        ({"label_limit": 4}, "a series has 5 labels, label_limit is 4"),
        ({"label_name_length_limit": 5}, "a label name is longer than 5 bytes"),
        ({"label_value_length_limit": 2}, "a label value is longer than 2 bytes"),
    ],
)
def test_limits_make_a_scrape_fail_whole(
    rig: Callable[..., Rig], words: dict[str, int], said: str
) -> None:
    """Over a limit nothing is stored but ``up`` 0 and the reason."""
    body = b'a{x="1"} 1\na{x="2"} 2\na{x="333"} 3\n'
    with serving(replies(answer(body))) as port:
        made = rig(port, **words)
        until(lambda: made.values("up"))
        made.manager.stop()

    assert made.values("up")[0] == 0
    assert said in made.target()["lastError"]
    assert not [labels for labels in made.store.samples if labels.get("__name__") == "a"]


def test_metric_relabelling_and_honoured_labels(rig: Callable[..., Rig]) -> None:
    """Rules run on each series after the labels are joined; counts say what was left."""
    body = b'a{instance="own",q="0.5"} 1\nb 2\nb{instance=""} 3\n'
    rules = (
        RelabelRule(source_labels=("__name__",), regex="b", action="drop"),
        RelabelRule(regex="q", action="labeldrop"),
    )
    with serving(replies(answer(body))) as port:
        made = rig(port, honor_labels=True, metric_relabel_rules=rules)
        until(lambda: made.values("a", instance="own", zone="a"))
        made.manager.stop()

    assert made.values("scrape_samples_scraped")[0] == 3
    assert made.values("scrape_samples_post_metric_relabeling")[0] == 1
    assert not [labels for labels in made.store.samples if labels.get("q")]


def test_equal_series_and_bad_lines_are_left_out_and_said(rig: Callable[..., Rig]) -> None:
    """Of equal series the first counts; a bad line does not spoil the others."""
    with (
        serving(replies(answer(b"a 1\na 2\n"))) as port,
        serving(replies(answer(b"a 1\nb 2\nc {\n"))) as other,
    ):
        made = rig(port, other)
        until(lambda: len(made.values("up", instance=f"127.0.0.1:{other}")) > 1)
        until(lambda: len(made.values("a", instance=f"127.0.0.1:{port}")) > 1)
        made.manager.stop()

    assert set(made.values("a", instance=f"127.0.0.1:{port}")) == {1}
    assert set(made.values("up", instance=f"127.0.0.1:{other}")) == {1}
    said = {t["lastError"] for t in made.manager.targets()["activeTargets"]}
    assert said == {"samples left out: 1 duplicate", "1 lines cannot be read, the first is b'c {'"}
    name = "taskscope_collector_scrape_samples_rejected_total"
    assert made.registry.get_sample_value(name, {"scrape_job": "job", "reason": "bad_line"})


def test_own_timestamps(rig: Callable[..., Rig]) -> None:
    """Honoured unless told otherwise; the time of the scrape stands for the others."""
    with serving(replies(answer(b"a 1 5000\nb 2\n"))) as port:
        honoured = rig(port)
        plain = rig(port, honor_timestamps=False)
        until(lambda: honoured.values("b") and plain.values("a"))
        honoured.manager.stop()
        plain.manager.stop()

    times = {
        labels.get("__name__"): set(samples) for labels, samples in honoured.store.samples.items()
    }
    assert times["a"] == {5000}
    assert min(times["b"]) > 1_600_000_000_000
    assert not [1 for samples in plain.store.samples.values() if 5000 in samples]


def test_packed_chunked_and_encrypted(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """Packed and in chunks over TLS with a certificate of our own authority; a stranger's is refused."""
    import ssl

    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    packed = gzip.compress(b"".join(b'a{n="%d"} %d\n' % (n, n) for n in range(20_000)))
    half = len(packed) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (packed[:half], packed[half:]))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(replies(head + chunks + b"0\r\n\r\n"), context) as port:
        words = {"scheme": "https", "interval_seconds": 0.8, "timeout_seconds": 0.8}
        trusting = rig(port, tls=Tls(ca_file=cert, server_name="localhost"), **words)
        strange = rig(port, tls=Tls(server_name="localhost"), **words)
        lax = rig(port, tls=Tls(insecure_skip_verify=True), **words)
        until(lambda: trusting.values("up") and strange.values("up") and lax.values("up"))
        for one in (trusting, strange, lax):
            one.manager.stop()

    assert trusting.values("up")[0] == 1
    assert trusting.values("a", n="19999")[0] == 19999
    assert strange.values("up")[0] == 0
    assert "certificate is not trusted" in strange.target()["lastError"]
    assert lax.values("up")[0] == 1


def test_credentials_are_sent_and_read_anew(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """A bearer token from a file that changes; a file that is gone says so."""
    token = tmp_path / "token"
    token.write_text("one\n")
    seen = []

    def serve(connection: Any, request: bytes) -> None:
        seen.append(request.partition(b"Authorization: ")[2].split(b"\r\n")[0].decode())
        connection.sendall(answer(GOOD))

    with serving(serve) as port:
        made = rig(port, credentials=Credentials("Bearer", secret_file=str(token)))
        until(lambda: "Bearer one" in seen)
        token.write_text("two")
        until(lambda: "Bearer two" in seen)
        token.unlink()
        until(lambda: made.values("up")[-1:] == [0])

    assert "credentials cannot be read" in made.target()["lastError"]


def test_targets_from_files_follow_the_files(tmp_path: Path) -> None:
    """A new file, a changed one, a broken one (keeps its targets), one that goes."""
    config = FileConfig((str(tmp_path / "*.json"), str(tmp_path / "*.yml")))
    one, two = tmp_path / "one.json", tmp_path / "two.yml"

    assert config.found() == []
    one.write_text(json.dumps([{"targets": ["a:1", "b:1"], "labels": {"x": "y"}}]))
    two.write_text("- targets: ['c:1']\n")
    found = config.found()
    assert [labels["__address__"] for labels in found] == ["a:1", "b:1", "c:1"]
    assert found[0] == {"x": "y", "__meta_filepath": str(one), "__address__": "a:1"}
    two.write_text("- targets: oh no this is not a list\n")
    assert [labels["__address__"] for labels in config.found()] == ["a:1", "b:1", "c:1"]
    assert len(config.problems) == 1
    assert str(two) in config.problems[0]
    one.unlink()
    two.write_text("")
    assert config.found() == []
    assert config.problems == []


@pytest.mark.parametrize(("refresh_seconds", "seen"), [(300.0, "old:1"), (0.0, "new:1")])
def test_files_are_read_again_after_the_interval(
    tmp_path: Path, refresh_seconds: float, seen: str
) -> None:
    """A file that looks unchanged, by time and size, is read again only then."""
    path = tmp_path / "targets.yml"
    config = FileConfig((str(path),), refresh_seconds)

    def found(address: str) -> list[str]:
        path.write_text(f"- targets: ['{address}']\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        return [labels["__address__"] for labels in config.found()]

    assert found("old:1") == ["old:1"]
    assert found("new:1") == [seen]


def test_relabelled_targets(rig: Callable[..., Rig]) -> None:
    """Rules can move a target, name it, change its path and interval, and drop it."""
    rules = (
        RelabelRule(source_labels=("__address__",), target_label="instance", replacement="named"),
        RelabelRule(target_label="__metrics_path__", replacement="/other"),
        RelabelRule(target_label="__param_q", replacement="1"),
        RelabelRule(source_labels=("__address__",), regex=".*:2", action="drop"),
    )
    made = rig(1, 2, relabel_rules=rules)
    (shown,) = made.manager.targets()["activeTargets"]
    (dropped,) = made.manager.targets()["droppedTargets"]

    assert shown["scrapeUrl"] == "http://127.0.0.1:1/other?q=1"
    assert shown["labels"] == {"job": "job", "instance": "named", "zone": "a"}
    assert dropped["discoveredLabels"]["__address__"] == "127.0.0.1:2"


def test_nothing_is_left_behind() -> None:
    """Stop before start and twice; no thread and no socket stays."""
    before = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with serving(replies(answer(GOOD))) as port:
        made = Rig(
            [ScrapeConfig(job(), (StaticConfig((f"127.0.0.1:{port}", f"localhost:{port}"), {}),))]
        )
        idle = Rig([])
        idle.manager.stop()
        made.manager.start()
        until(lambda: made.values("up", instance=f"localhost:{port}"))
        made.manager.stop()
        made.manager.stop()
    until(lambda: set(threading.enumerate()) <= before[0])
    until(lambda: len(os.listdir("/proc/self/fd")) <= before[1])  # noqa: PTH208


def test_a_reload_changes_only_what_it_says(rig: Callable[..., Rig]) -> None:
    """A target that is asked as before goes on; another way of asking, a new target and none take hold."""
    with (
        serving(replies(answer(b"a 1\nb 2\n"))) as one,
        serving(replies(answer(b"a 1\nb 2\n"))) as two,
    ):
        made = rig(one)
        until(lambda: len(made.values("up")) >= 2)
        before = made.manager._states.copy()

        def reload(*ports: int, **words: Any) -> None:
            static = StaticConfig(tuple(f"127.0.0.1:{port}" for port in ports), {"zone": "a"})
            made.manager.reload([ScrapeConfig(job(**words), (static,))], ScrapeJob("containers"))

        reload(one, two)
        until(lambda: made.values("up", instance=f"127.0.0.1:{two}"))
        assert all(made.manager._states[key] is state for key, state in before.items())
        reload(one, sample_limit=1)
        until(lambda: made.values("up", instance=f"127.0.0.1:{two}")[-1:] == ["stale"])
        until(lambda: made.values("up", instance=f"127.0.0.1:{one}")[-1:] == [0])
