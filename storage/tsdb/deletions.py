"""What was deleted on request: remembered in one file until no block or log holds it any more.

A deletion is durable before it is seen: the file is replaced whole. It counts for blocks and log
segments that were there before it, so samples that are appended afterwards are seen, also inside
the deleted range. (Prometheus hides those until it has compacted.)

What hides a deleted sample, where it can be:

- slab, sealed chunks, lane: nothing is there any more; they were erased under the lock of the head
  before ``delete_series`` returned, and no block was being written meanwhile;
- a log segment below ``before_segment``: when it is read back, what came of it is erased before the
  next one is read (``Pending``). The segments end there: the log was flushed and a new one begun;
- a block below ``before_sequence``: every query takes it out (``cuts``). Blocks written later were
  made of an erased head, or by a rewrite that left it out;
- a block that is being written: a query does not see it, and a start deletes it;
- a block that another one replaces, or that was dropped, but that a query still reads: as any
  block below ``before_sequence``; a start after a kill deletes it, or hides it again.

So a deletion may be forgotten once no segment below ``before_segment`` is left, and every block
below ``before_sequence`` that touches its range is deleted from the disk, or was looked through and
holds nothing of it. Numbers of blocks and segments are not given twice while a deletion names them.
"""

import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from model.errors import StorageError
from model.histogram.pool import HistogramColumn
from model.labels import Matcher, MatchOp
from model.samples import Bools, no_samples
from storage.interface import Refs
from storage.tsdb.chunk import Piece
from storage.tsdb.files import replace_synced
from storage.tsdb.head import Head
from storage.tsdb.index import SeriesIndex

log = logging.getLogger(__name__)

Lookup = npt.NDArray[np.int32]


class Deletion(Struct, frozen=True):
    """One call of ``delete_series``.

    Attributes:
        matcher_sets: A series goes if it passes all matchers of one set.
        mint: First time that goes.
        maxt: Last time.
        before_sequence: Blocks numbered below this are concerned.
        before_segment: Log segments numbered below this are concerned.
    """

    matcher_sets: tuple[tuple[Matcher, ...], ...]
    mint: int
    maxt: int
    before_sequence: int
    before_segment: int

    def refs(self, index: SeriesIndex) -> Refs:
        """Return the series it names, as far as the index knows them; may name one twice."""
        found = [index.select(matchers) for matchers in self.matcher_sets]
        return np.concatenate([np.empty(0, dtype=np.int64), *found])


class Cut(Struct, frozen=True):
    """A deletion beside a list of series: which of them, and when."""

    positions: Bools
    mint: int
    maxt: int


class Deletions:
    """The file and what it says.

    Attributes:
        all: Oldest first; replaced as a whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.all: tuple[Deletion, ...] = ()

    def open(self) -> int:
        """Read the file, if there is one, and return how many lines of it are damaged.

        Raises:
            StorageError: If it cannot be read.
        """
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        found = []
        for line in lines:
            crc, _, body = line.partition(b" ")
            if crc == _crc(body):
                found.append(_decode(json.loads(body)))
        self.all = tuple(found)
        if len(found) < len(lines):
            log.error(
                "%s: %d deletions cannot be read; what they deleted is back as far as blocks hold it",
                self._path,
                len(lines) - len(found),
            )
        return len(lines) - len(found)

    def add(self, deletion: Deletion) -> None:
        """Remember a deletion, durably.

        Raises:
            StorageError: If it cannot be written.
        """
        self._write((*self.all, deletion))

    def keep(self, wanted: Callable[[Deletion], bool]) -> None:
        """Forget those that nothing on disk is concerned by.

        Raises:
            StorageError: If it cannot be written.
        """
        left = tuple(deletion for deletion in self.all if wanted(deletion))
        if len(left) < len(self.all):
            self._write(left)

    def of_block(self, sequence: int, mint: int, maxt: int) -> list[Deletion]:
        """Return those that concern a block, looked at over a range."""
        return [
            d
            for d in self.all
            if sequence < d.before_sequence and d.mint <= maxt and d.maxt >= mint
        ]

    def _write(self, every: tuple[Deletion, ...]) -> None:
        bodies = [json.dumps(_encode(deletion)).encode() for deletion in every]
        try:
            lines = [_crc(body) + b" " + body + b"\n" for body in bodies]
            replace_synced(self._path, b"".join(lines))
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        self.all = every


class Pending:
    """Deletions while the log is read back: each is done behind the segments that it concerns."""

    def __init__(self, deletions: Deletions, head: Head) -> None:
        self._left = sorted(deletions.all, key=lambda d: d.before_segment)
        self._head = head

    def before(self, number: int, ready: Callable[[], None] = lambda: None) -> None:
        """Do what comes before a segment; ``ready`` is called before something is done."""
        while self._left and self._left[0].before_segment <= number:
            ready()
            deletion = self._left.pop(0)
            with self._head.lock:
                refs = deletion.refs(self._head.index)
                self._head.erase(refs, deletion.mint, deletion.maxt)

    def finish(self) -> None:
        """Do the rest."""
        self.before(2**63)


def cuts(deletions: Iterable[Deletion], index: SeriesIndex, lookup: Lookup, size: int) -> list[Cut]:
    """Return what some deletions take from a list of ``size`` series; ``lookup`` gives positions."""
    found = []
    for deletion in deletions:
        refs = deletion.refs(index)
        known = lookup[refs[refs < len(lookup)]]
        positions = np.zeros(size, dtype=np.bool_)
        positions[known[known >= 0]] = True
        if positions.any():
            found.append(Cut(positions, deletion.mint, deletion.maxt))
    return found


def without(pieces: Iterable[Piece], what: Sequence[Cut]) -> Iterator[Piece]:
    """Yield pieces with NO_SAMPLE where something was deleted."""
    for piece in pieces:
        left = piece
        for cut in what:
            left = _without(left, cut)
        yield left


def _without(piece: Piece, cut: Cut) -> Piece:
    rows = cut.positions[piece.pos]
    times = (piece.ts_ms >= cut.mint) & (piece.ts_ms <= cut.maxt)
    gone = rows[:, None] & (times if times.ndim == 2 else times[None, :])
    if not gone.any():
        return piece
    values = np.where(gone, no_samples(1), piece.values)
    column = piece.histograms
    if column is not None:
        column = HistogramColumn(np.where(gone, np.int32(-1), column.index), column.pool)
    return replace(piece, values=values, histograms=column, dense=False)


def _crc(body: bytes) -> bytes:
    return f"{zlib.crc32(body):08x}".encode()


def _encode(deletion: Deletion) -> dict[str, object]:
    return {
        "matchers": [[[m.op.name, m.name, m.value] for m in one] for one in deletion.matcher_sets],
        "mint": deletion.mint,
        "maxt": deletion.maxt,
        "before_sequence": deletion.before_sequence,
        "before_segment": deletion.before_segment,
    }


def _decode(row: dict[str, object]) -> Deletion:
    sets = row.pop("matchers")
    assert isinstance(sets, list)
    matchers = tuple(
        tuple(Matcher(name, MatchOp[op], value) for op, name, value in one) for one in sets
    )
    return Deletion(matchers, **{k: int(str(v)) for k, v in row.items()})
