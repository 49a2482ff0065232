"""What a hangup does to a running Taskscope."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.stack import ROOT, Stack, eventually, free_port

BASE = "discovery: {docker: {enabled: false}}\ncollector:\n  interval_seconds: 1\n"
RULES = "groups: [{name: g, interval: 1s, rules: [{record: one, expr: vector(1)}]}]\n"


def rules(stack: Stack) -> list[str]:
    """Return the names of the groups that are evaluated."""
    return [group["name"] for group in stack.get("/api/v1/rules")["data"]["groups"]]


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
        eventually("the target", lambda: stack.query('up{job="self"} == 1'), 15)
        shown = stack.get("/api/v1/status/config")["data"]["yaml"]
        assert "job_name: self" in shown
        assert f"listen: 127.0.0.1:{stack.port}" in shown

        (tmp_path / "own.yml").write_text(RULES.replace("vector(1)", "vector("))
        config.write_text(BASE + "alerting: {shipped_rules: false, rule_files: [own.yml]}\n")
        stack.process.send_signal(signal.SIGHUP)
        eventually("the reason", lambda: "stays as it was" in stack.output(), 15)

        assert "own.yml:1" in stack.output()
        assert rules(stack) == ["g"]
        assert len(stack.get("/api/v1/targets")["data"]["activeTargets"]) == 1


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
