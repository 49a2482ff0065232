"""What is in Elasticsearch held against what was written: each line once, equal, in order."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from msgspec import Struct, field

from tests.chaos import lines
from tests.chaos.stored import Document
from tests.chaos.writer import Kind, Ledger

AMISS = ("lost", "twice", "wrong", "disorder")


class Finding(Struct, frozen=True):
    """One thing that is not as it should be; ``seq`` is 0 where it is no numbered line."""

    what: str
    task: str
    seq: int
    detail: str


class Verdict(Struct):
    """What was found.

    Attributes:
        checked: Documents looked at.
        findings: What is amiss.
        destroyed: By task, how many lines a rude writer destroyed that never arrived.
    """

    checked: int = 0
    findings: list[Finding] = field(default_factory=list)
    destroyed: Counter[str] = field(default_factory=Counter)

    def count(self, what: str, task: str = "") -> int:
        """Return the number of findings of a kind."""
        return sum(f.what == what and task in ("", f.task) for f in self.findings)


class _Seen(Struct):
    """What arrived of one task: the time, source, offset and number of each line, and how many banners."""

    lines: list[tuple[str, str, int, int]] = field(default_factory=list)
    banners: int = 0


def judge(
    documents: Iterable[Document], ledgers: Mapping[str, tuple[Kind, Ledger]], seed: int
) -> Verdict:
    """Look at every document."""
    verdict = Verdict()
    seen: dict[str, _Seen] = defaultdict(_Seen)
    for document in documents:
        verdict.checked += 1
        kind, _ = ledgers[document.task]
        if document.message == lines.banner("bare").rstrip() and kind.banner:
            seen[document.task].banners += 1
            continue
        found = lines.read(document.message)
        if found is None or found[0] != document.task:
            verdict.findings.append(Finding("wrong", document.task, 0, document.message[:120]))
            continue
        _, seq, payload = found
        if payload != lines.payload(seed, document.task, seq, kind.form):
            verdict.findings.append(Finding("wrong", document.task, seq, document.message[:120]))
        seen[document.task].lines.append((document.time, document.source, document.offset, seq))
    for task, (kind, ledger) in ledgers.items():
        _judge_task(task, kind, ledger, seen[task], verdict)
    return verdict


def _judge_task(task: str, kind: Kind, ledger: Ledger, seen: _Seen, verdict: Verdict) -> None:
    def amiss(what: str, seq: int, detail: str) -> None:
        verdict.findings.append(Finding(what, task, seq, detail))

    places = defaultdict(list)
    for at, source, offset, seq in seen.lines:
        places[seq].append(f"{source}-{offset:x} {at}")
    risked = {seq for first, last in ledger.risked for seq in range(first, last + 1)}
    for seq in range(1, len(ledger.written) + 1):
        if seq in places:
            continue
        if seq in risked:
            verdict.destroyed[task] += 1
        else:
            amiss("lost", seq, f"line {seq} of {len(ledger.written)}")
    for seq, where in places.items():
        if len(where) > 1:
            amiss("twice", seq, ", ".join(where))
        if seq > len(ledger.written):
            amiss("wrong", seq, "a line that was never written")
    if seen.banners > ledger.banners:
        amiss("twice", 0, f"{seen.banners} banners of {ledger.banners}")
    if seen.banners < ledger.banners and not kind.rude:
        amiss("lost", 0, f"{seen.banners} banners of {ledger.banners}")
    _judge_order(kind, seen, amiss)


def _judge_order(kind: Kind, seen: _Seen, amiss: Callable[[str, int, str], None]) -> None:
    """By time then offset where lines have a time of their own; by offset within a file otherwise."""
    if kind.form in lines.TIMED:
        ordered = sorted(seen.lines, key=lambda one: (one[0], one[2]))
        runs = [ordered]
    else:
        by_source = defaultdict(list)
        for one in seen.lines:
            by_source[one[1]].append(one)
        runs = [sorted(of, key=lambda one: one[2]) for of in by_source.values()]
    for run in runs:
        for before, after in pairwise(run):
            if after[3] < before[3]:
                amiss("disorder", after[3], f"behind {before[3]}")
