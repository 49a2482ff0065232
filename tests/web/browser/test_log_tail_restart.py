"""The live tail of a real Taskscope that is killed and started again while a task goes on writing."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.stack import ROOT, Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINES = 400
READ_ALL = """async () => {
  const list = document.querySelector(".log-list");
  const seen = new Map();
  for (let top = 0; ; top += 200) {
    list.scrollTop = top;
    await new Promise((done) => setTimeout(done, 40));
    for (const row of list.querySelectorAll(".log-row")) seen.set(row.dataset.id, [row.querySelector("time").dateTime, row.querySelector(".log-message").textContent]);
    if (top > list.scrollHeight) break;
  }
  return [...seen.values()];
}"""


def write(stack: Stack) -> subprocess.Popen[bytes]:
    """Start a task that writes numbered lines for about eight seconds."""
    script = f"for i in $(seq 1 {LINES}); do echo number $i; sleep 0.02; done"
    return subprocess.Popen(
        [
            sys.executable, "-m", "taskscope", "run", "--name", "talker",
            "--data-dir", str(stack.data_dir), "--", "sh", "-c", script,
        ],
        cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("scrolled_up", [False, True])
def test_no_line_is_lost_or_shown_twice_over_a_kill(
    browser: Browser, tmp_path: Path, *, scrolled_up: bool
) -> None:
    """Whether the page follows the end or somebody reads further up."""
    config = tmp_path / "taskscope.yml"
    config.write_text("discovery: {docker: {enabled: false}}\ncollector: {interval_seconds: 5}\n")
    with Stack(tmp_path / "data", "--config", str(config)) as stack:
        page = browser.new_context(viewport={"width": 1200, "height": 700}).new_page()
        page.goto(f"{stack.url}/logs?query=task_name:talker dataset:task&range=1h")
        expect(page.locator(".log-status")).to_have_text("Live")
        writer = write(stack)
        page.wait_for_function("() => document.querySelectorAll('.log-row').length > 40")
        if scrolled_up:
            page.locator(".log-list").evaluate("list => { list.scrollTop = 0; }")
        stack.stop(signal.SIGKILL)
        expect(page.locator(".log-status")).to_have_text("No stream; trying again")
        time.sleep(1.5)
        stack.start()
        expect(page.locator(".log-status")).to_have_text("Live", timeout=20_000)
        assert writer.wait(40) == 0
        shown = numbers_when_complete(page)
        page.context.close()

    assert shown == list(range(1, LINES + 1))


def numbers_when_complete(page: Page) -> list[int]:
    """Return the numbers of all lines in the order shown, once none is missing any more."""
    expect(page.locator(".log-count")).to_have_text(f"{LINES} lines", timeout=30_000)
    time.sleep(1)  # what came twice would come now
    texts = [text for _, text in page.evaluate(READ_ALL)]
    return [int(m[1]) for text in texts if (m := re.search(r"number (\d+)", text))]
