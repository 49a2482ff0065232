"""The tables of a chaos run over logs: by what happened, and by writer."""

from array import array
from bisect import bisect_left
from collections import defaultdict

from logship.failpoints import PLACES
from tests.chaos.logs_oracle import AMISS, Finding
from tests.chaos.outcome import Outcome, Span


def report(outcome: Outcome) -> str:
    """Return everything that people want to know."""
    verdict = outcome.verdict
    written = sum(len(w.ledger.written) for w in outcome.writers)
    rows = [
        "",
        _head("killed at", "kills"),
        *_rows(outcome, outcome.kills),
        "",
        _head("while", "times"),
        *_rows(outcome, outcome.faults),
        "",
        _head("writer", "rotations") + f" {'destroyed':>10}",
    ]
    for writer in outcome.writers:
        figures = "".join(f" {verdict.count(what, writer.name):9d}" for what in AMISS)
        rows.append(f"{f'{writer.name} {writer.kind}':34} {writer.ledger.rotations:9d} {writer.ledger.lines():9d}{figures} {verdict.destroyed[writer.name]:10d}")  # fmt: skip
    rows += [f"  {f.what}: {f.task} {f.seq}: {f.detail}" for f in _some(verdict.findings)]
    rows += [f"  {writer.problem}" for writer in outcome.writers if writer.problem]
    never = sorted(set(PLACES) - {life.name for life in outcome.kills})
    if never:
        rows.append(f"not reached: {', '.join(never)}")
    met = ", ".join(f"{name} {count}" for name, count in sorted(outcome.spoilt.items()))
    sums = ", ".join(f"{verdict.count(what)} {what}" for what in AMISS)
    rows += [
        f"requests that met a fault: {met}",
        f"{len(outcome.kills)} kills, {written} lines, {verdict.checked} documents in {outcome.indices} backing indices",
        f"{verdict.destroyed.total()} destroyed before they could be read; caught up in {outcome.settle_seconds:.1f} s",
        sums,
    ]
    return "\n".join(rows)


def _head(first: str, second: str) -> str:
    return f"{first:34} {second:>9} {'lines':>9}" + "".join(f" {what:>9}" for what in AMISS)


def _rows(outcome: Outcome, spans: list[Span]) -> list[str]:
    """Return a row by name: what was written meanwhile, and what is amiss of it."""
    by_name = defaultdict(list)
    for span in spans:
        by_name[span.name].append(span)
    ledgers = {w.name: w.ledger for w in outcome.writers}
    rows = []
    for name, own in sorted(by_name.items()):
        lines = sum(
            bisect_left(ledger.written, span.end) - bisect_left(ledger.written, span.start)
            for span in own
            for ledger in ledgers.values()
        )
        found = [f for f in outcome.verdict.findings if _within(f, own, ledgers[f.task].written)]
        figures = "".join(f" {sum(f.what == what for f in found):9d}" for what in AMISS)
        rows.append(f"{name:34} {len(own):9d} {lines:9d}{figures}")
    return rows


def _within(finding: Finding, spans: list[Span], written: "array[float]") -> bool:
    if not 0 < finding.seq <= len(written):
        return False
    return any(span.start <= written[finding.seq - 1] <= span.end for span in spans)


def _some(findings: list[Finding]) -> list[Finding]:
    """Return a few of each kind and task."""
    shown: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        shown[finding.what, finding.task].append(finding)
    return [finding for of in shown.values() for finding in of[:4]]
