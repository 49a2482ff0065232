"""From groups of records to the disk: parsed, redacted, joined, safe; only then may a sender be told.

Lines of containers are joined as those of files are. What may go on (a part of a long line, an
open stack trace) waits in memory; where its message wants an answer at once, the line is also
written as *held*, so that a crash does not lose it.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from logship.metrics import LogshipMetrics
from logship.parse.batch import Tally
from logship.parse.lines import Lines
from logship.parse.parser import Parser
from logship.policy import Policy
from logship.redact import Redactor
from logship.source.finder import HowToParse, Origins, how_to_parse
from logship.source.groups import Group
from logship.source.owners import Owners
from logship.source.rotation import QUIET_SECONDS
from logship.spool import entry
from logship.spool.entry import Held, Owner
from logship.spool.spool import Spool
from model.clock import Clock
from model.errors import StorageError
from model.log import LogBatch
from model.samples import Ints

SENDERS_MAX: Final = 4096
TICKETS_KEPT: Final = 8192
OPEN_BYTES_MAX: Final = 1 << 20
PART_SECONDS: Final = (
    10.0  # the rest of a long line may wait for the acknowledgement of its beginning
)
_log = logging.getLogger(__name__)


class TimedLines(Lines):
    """Lines whose times are numbers already."""

    times_ns: list[int]

    def runtime_ns(self, rows: Ints | None = None) -> Ints | None:
        """See ``Lines.runtime_ns``."""
        times = np.array(self.times_ns, dtype=np.int64)
        return times if rows is None else times[rows]


class _Sender(Struct):
    """An owner's lines that are not in a batch yet, and what was learned of their shape.

    ``numbers`` are those of lines that were written as held, 0 for others; ``ended`` is who has
    closed its connection.
    """

    owner: Owner
    parser: Parser
    origins: Origins
    source_id: str
    lines: TimedLines
    numbers: list[int]
    first_at: float
    grown_at: float
    size: int = 0
    ended: bool = False


class Inbox:
    """Takes groups; for one thread at a time.

    Args:
        name: Of the source; part of the identity of its records.
        spool: Where they are kept.
        owners: Finds out whose they are.
        redactor: None to leave secrets in.
        clock: The time.
        metrics: Where it counts.
        dataset: Of records whose task does not say another.
        policy: How lines are read, and which fields are numbers.

    Attributes:
        waiting_bytes: Size of what was put since the last flush, roughly.
    """

    def __init__(
        self, name: str, spool: Spool, owners: Owners, redactor: Redactor | None, clock: Clock,
        metrics: LogshipMetrics, *, dataset: str, policy: Policy | None = None,
    ) -> None:  # fmt: skip
        self.waiting_bytes = 0
        self._name = name
        self._spool = spool
        self._owners = owners
        self._redactor = redactor
        self._clock = clock
        self._metrics = metrics
        self._dataset = dataset
        self._policy = policy or Policy()
        self._senders: OrderedDict[str, _Sender] = OrderedDict()
        self._touched: set[str] = set()
        self._evicted: list[_Sender] = []
        self._tickets: list[bytes] = []
        self._recent: OrderedDict[bytes, None] = OrderedDict()
        self._payload = b""
        self._begun = spool.begun
        self._ordinal = 1
        self._first_number = clock.now_ns()  # later than those of former processes
        self._recover()

    def _recover(self) -> None:
        """Take back what was held, and the marks of messages that were acknowledged."""
        held: dict[int, Held] = {}
        for payload in self._spool.recent():
            try:
                found = entry.decode(payload)
            except ValueError:
                continue  # the stream counts it
            self._remember(found.tickets)
            held.update((line.number, line) for line in found.held)
            for number in found.settled:
                held.pop(number, None)
        kept = sorted((line for line in held.values() if line.source == self._name), key=lambda line: line.number)  # fmt: skip
        for line in kept:
            self._first_number = max(self._first_number, line.number + 1)
            streams = [line.stream] if line.stream else []
            group = Group(line.owner, [line.text], [line.ts_ns], streams, [0] if line.partial else [])  # fmt: skip
            self._put(group, [line.number])
        if kept:  # before what they stand in is among the older segments
            with suppress(StorageError):
                self._spool.sync(self._spool.append(entry.encode([], held=kept)))

    def _remember(self, tickets: Iterable[bytes]) -> None:
        for ticket in tickets:
            self._recent[ticket] = None
        while len(self._recent) > TICKETS_KEPT:
            self._recent.popitem(last=False)

    # ------------------------------------------------------------ taking

    def put(self, groups: Iterable[Group], ticket: bytes = b"") -> None:
        """Take the records of a message; they are safe when ``flush`` has returned True.

        Args:
            groups: The records.
            ticket: The same for the same message sent again, which is taken once; empty where its
                sender wants no answer.
        """
        if ticket:
            if ticket in self._recent or ticket in self._tickets:
                return
            self._tickets.append(ticket)
        for group in groups:
            self._put(group, [0] * len(group.texts))

    def _put(self, group: Group, numbers: list[int]) -> None:
        now = self._clock.monotonic()
        sender = self._senders.get(group.owner.key)
        if sender is None:
            sender = self._senders[group.owner.key] = self._make(group.owner, now)
            while len(self._senders) > SENDERS_MAX:
                _, oldest = self._senders.popitem(last=False)
                if oldest.lines.texts:
                    self._evicted.append(oldest)
        self._senders.move_to_end(group.owner.key)
        lines = sender.lines
        if not lines.texts:
            sender.first_at = now
            lines.starts = []
        else:
            lines.starts.pop()
        known = len(lines.texts)
        lines.partial += [known + row for row in group.partial]
        lines.texts += group.texts
        lines.streams += group.streams
        lines.times_ns += group.times
        lines.starts += range(self._ordinal, self._ordinal + len(group.texts) + 1)
        sender.numbers += numbers
        size = sum(map(len, group.texts))
        sender.size += size
        self.waiting_bytes += size
        sender.grown_at = now
        sender.ended = False
        self._ordinal += len(group.texts)
        self._touched.add(group.owner.key)

    def ended(self, keys: Iterable[str]) -> None:
        """Take note that owners have closed their connection: Docker does when a container ends, maybe within a line."""
        for key in keys:
            if key in self._senders:
                self._senders[key].ended = True

    def _make(self, owner: Owner, now: float) -> _Sender:
        task = self._owners.find(owner) or self._owners.unknown(owner)
        how = how_to_parse(task.status.labels) if owner.is_lines else HowToParse(multiline=False)
        form, multiline = self._policy.parsing(task.identity, how.format, multiline=how.multiline)
        parser = Parser(self._redactor, format=form, multiline=multiline, typed=tuple(self._policy.fields))  # fmt: skip
        source_id = f"{self._name}/{self._spool.session}/{owner.key}"
        origins = Origins(self._dataset, owner.stream or "stdout")
        return _Sender(owner, parser, origins, source_id, _no_lines(), [], now, now)

    # ------------------------------------------------------------ bringing to the disk

    @property
    def has_open(self) -> bool:
        """Whether lines wait for what follows them, so that ``flush`` has to be called now and then."""
        return bool(self._touched or self._evicted or self._payload) or any(s.lines.texts for s in self._senders.values())  # fmt: skip

    def has_room(self) -> bool:
        """Tell whether something may be put; what could not be kept before is tried again first."""
        return not self._payload or self.flush()

    def flush(self, *, final: bool = False) -> bool:
        """Bring what was put to the disk.

        Args:
            final: Nothing will follow: what is open is complete.

        Returns:
            Whether all of it is safe; if not, nothing more may be put until it is.
        """
        if not self._payload:
            self._payload = self._collect(final=final)
        if not self._payload:
            return True
        try:
            self._spool.sync(self._spool.append(self._payload))
        except StorageError as error:
            self._metrics.errors.labels(self._name, type(error).__name__).inc()
            return False
        self._payload = b""
        self._remember(self._tickets)
        self._tickets = []
        return True

    def _collect(self, *, final: bool) -> bytes:
        now = self._clock.monotonic()
        begun = self._spool.begun
        renewed = begun != self._begun  # only the newest segments are looked at after a crash
        self._begun = begun
        batches: list[LogBatch] = []
        held: list[Held] = []
        settled: list[int] = []
        due = [(s, True) for s in self._evicted]
        due += [(s, final) for s in self._senders.values() if s.lines.texts and (final or s.owner.key in self._touched or now - s.grown_at >= QUIET_SECONDS)]  # fmt: skip
        for sender, last in due:
            try:
                found, done = self._parse(sender, now, final=last)
            except Exception as error:
                self._metrics.errors.labels(self._name, type(error).__name__).inc()
                self._metrics.dropped.labels("unreadable").inc(len(sender.lines.texts))
                _log.exception("lines from %s cannot be understood; the others go on", self._name)
                found, done = [], len(sender.lines.texts)
            batches += found
            settled += [number for number in sender.numbers[:done] if number]
            if done:
                _drop(sender, done)
            if self._tickets:
                held += self._hold(sender)
        if renewed:
            new = {line.number for line in held}
            held += [line for sender in self._senders.values() for line in self._held(sender) if line.number not in new]  # fmt: skip
        self._touched.clear()
        self.waiting_bytes = 0
        self._evicted = []
        if not (batches or held or settled or self._tickets):
            return b""
        return entry.encode(batches, tickets=self._tickets, held=held, settled=settled)

    def _parse(self, sender: _Sender, now: float, *, final: bool) -> tuple[list[LogBatch], int]:
        """Return the batches of what is complete, and how many lines that is."""
        owner, lines = sender.owner, sender.lines
        task = self._owners.find(owner)
        quiet = final or now - sender.grown_at >= QUIET_SECONDS
        if task is None:
            if owner.container_id and not quiet and now - sender.first_at < QUIET_SECONDS and sender.size < OPEN_BYTES_MAX:  # fmt: skip
                return [], 0  # its container has just been started, and nobody has told us yet
            task = self._owners.unknown(owner)
        closing = quiet or not owner.is_lines
        ended = sender.ended or task.status.state.ended
        given_up = not owner.is_lines or (quiet and ended) or now - sender.grown_at >= PART_SECONDS
        final = final or given_up or sender.size > OPEN_BYTES_MAX
        origin = sender.origins(task, sender.source_id)
        parsed = sender.parser.lines(lines, origin, self._clock.now_ns(), closing=closing, final=final)  # fmt: skip
        self._count(parsed.tally)
        done = sum(start < parsed.end for start in lines.starts[:-1])
        return [batch for batch in parsed.batches if len(batch)], done

    def _hold(self, sender: _Sender) -> list[Held]:
        """Return the lines of a sender that are acknowledged before they are complete, as held from now on."""
        new = set()
        for row, number in enumerate(sender.numbers):
            if not number:
                sender.numbers[row] = self._first_number + sender.lines.starts[row]
                new.add(sender.numbers[row])
        return [line for line in self._held(sender) if line.number in new] if new else []

    def _held(self, sender: _Sender) -> list[Held]:
        """Return the lines of a sender that are held."""
        lines, partial = sender.lines, set(sender.lines.partial)
        return [
            Held(number, self._name, sender.owner, lines.streams[row] if lines.streams else "", lines.times_ns[row], self._redacted(lines.texts[row]), row in partial)
            for row, number in enumerate(sender.numbers) if number
        ]  # fmt: skip

    def _redacted(self, text: str) -> str:
        if self._redactor is None:
            return text
        found = self._redactor.redact(text.encode("utf-8", "replace"))
        return text if found is None else found.buf.decode("utf-8", "replace")

    def _count(self, tally: Tally) -> None:
        for rule, number in tally.redactions.items():
            self._metrics.redactions.labels(rule).inc(number)
        for mark, number in (("truncated", tally.truncated), ("unparsed", tally.unparsed), ("bad_time", tally.bad_times)):  # fmt: skip
            if number:
                self._metrics.marked.labels(mark).inc(number)


def _no_lines() -> TimedLines:
    return TimedLines([], [], [], [], [], [], {}, [])


def _drop(sender: _Sender, count: int) -> None:
    """Let go of the first lines of a sender."""
    lines = sender.lines
    sender.lines = replace(
        lines,
        texts=lines.texts[count:],
        starts=lines.starts[count:],
        streams=lines.streams[count:],
        times_ns=lines.times_ns[count:],
        partial=[row - count for row in lines.partial if row >= count],
    )
    sender.numbers = sender.numbers[count:]
    sender.size = sum(map(len, sender.lines.texts))
