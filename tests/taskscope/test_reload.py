"""What a hangup does to a running Taskscope."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from model.clock import now_ms, rfc3339
from model.errors import ConfigError, Problem
from taskscope.config import TaskscopeConfig
from taskscope.reload import Reloader
from tests.e2e.stack import ROOT, Stack, eventually, free_port
from tests.fakes.clock import FakeClock

BASE = "discovery: {docker: {enabled: false}}\ncollector:\n  interval_seconds: 1\n"
RULES = "groups: [{name: g, interval: 1s, rules: [{record: one, expr: vector(1)}]}]\n"


def rules(stack: Stack) -> list[str]:
    """Return the names of the groups that are evaluated."""
    return [group["name"] for group in stack.get("/api/v1/rules")["data"]["groups"]]


@pytest.mark.slow
def test_hangup_reads_rules_and_scrape_targets_anew(tmp_path: Path) -> None:
    """Both change without a restart; a file with problems changes nothing and says why."""
    config = tmp_path / "taskscope.yml"
    config.write_text(f"{BASE}alerting: {{shipped_rules: false}}\n")
    (tmp_path / "own.yml").write_text(RULES)
    with Stack(tmp_path, "--config", str(config)) as stack:
        assert stack.process is not None
        assert rules(stack) == []
        config.write_text(
            f"{BASE}  scrape_configs:\n"
            f"  - {{job_name: self, static_configs: [{{targets: ['127.0.0.1:{stack.port}']}}]}}\n"
            "alerting: {shipped_rules: false, rule_files: [own.yml]}\n"
        )
        stack.process.send_signal(signal.SIGHUP)
        eventually("the rule", lambda: stack.query("one"), 15)
        assert stack.get("/api/v1/status/runtimeinfo")["data"]["reloadConfigSuccess"] is True
        eventually("the target", lambda: stack.query('up{job="self"} == 1'), 15)
        shown = stack.get("/api/v1/status/config")["data"]["yaml"]
        assert "job_name: self" in shown
        assert f"listen: 127.0.0.1:{stack.port}" in shown

        (tmp_path / "own.yml").write_text(RULES.replace("vector(1)", "vector("))
        config.write_text(BASE + "alerting: {shipped_rules: false, rule_files: [own.yml]}\n")
        stack.process.send_signal(signal.SIGHUP)
        eventually("the reason", lambda: "stays as it was" in stack.output(), 15)

        assert "own.yml:1" in stack.output()
        assert stack.get("/api/v1/status/runtimeinfo")["data"]["reloadConfigSuccess"] is False
        assert rules(stack) == ["g"]
        assert len(stack.get("/api/v1/targets")["data"]["activeTargets"]) == 1


class Part:
    """Takes a configuration up, or refuses."""

    def __init__(self) -> None:
        self.taken = 0
        self.refuses = False

    def reload(self, config: TaskscopeConfig) -> None:
        assert config.cluster == "one"
        if self.refuses:
            raise ConfigError([Problem("rules.yml", 0, 0, "", "is not there")])
        self.taken += 1


def test_what_became_of_the_last_reload_is_told(tmp_path: Path) -> None:
    """A bad file and a part that refuses are failures, until it works again."""
    file, clock, registry, part = tmp_path / "c.yml", FakeClock(), CollectorRegistry(), Part()
    reload = Reloader(file, (part,), clock, registry)
    start = rfc3339(now_ms(clock))

    def told() -> tuple[object, object, float | None]:
        found = reload.runtime()
        worked = registry.get_sample_value("taskscope_config_last_reload_successful")
        return found["reloadConfigSuccess"], found["lastConfigTime"], worked

    assert told() == (True, start, 1.0)
    for text, refuses in (("clusterr: one\n", False), ("cluster: one\n", True)):
        file.write_text(text)
        part.refuses = refuses
        clock.advance(60)
        with pytest.raises(ConfigError):
            reload()
        assert told() == (False, start, 0.0)
    part.refuses = False
    reload()
    since = "taskscope_config_last_reload_success_timestamp_seconds"
    assert told() == (True, rfc3339(now_ms(clock)), 1.0)
    assert registry.get_sample_value(since) == now_ms(clock) / 1000
    assert part.taken == 1


def test_a_closed_terminal_ends_what_runs_in_it(tmp_path: Path) -> None:
    """It hangs up too, and nobody could see or stop the process any more."""
    config = tmp_path / "taskscope.yml"
    config.write_text(BASE)
    port = free_port()
    master, slave = pty.openpty()
    command = [
        "up",
        "--config",
        f"{config}",
        "--data-dir",
        f"{tmp_path}",
        "--listen",
        f"127.0.0.1:{port}",
    ]
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-m", "taskscope", *command],
        cwd=ROOT, stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while b"Ctrl-C stops" not in shown:
        shown += os.read(master, 4096)
    os.close(master)

    process.wait(15)
