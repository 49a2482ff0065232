"""Which blocks should become one: windows of three times the length, step by step, as in Prometheus.

A block belongs to the smallest window that holds all of it. Blocks of late samples are folded into
the scrapes of their window, unless an older block of late samples that stays would then win over
them: among late samples the later append is right, and late samples are right beside scrapes.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from storage.tsdb.block import Block
from storage.tsdb.settings import HOUR_MS, TsdbSettings

_STEP: Final = 3
_RETENTION_PART: Final = (
    10  # a block covers at most this part of retention, so that it can go in time
)
_LONGEST_MS: Final = 31 * 24 * HOUR_MS
_MANY_LATE: Final = 4  # blocks of late samples in one window that are worth writing it again
_MUCH_LATE: Final = 4  # ... or one over this part of the window's bytes


class Merge(Struct, frozen=True):
    """Blocks that should become one, by their rank."""

    blocks: tuple[Block, ...]

    @property
    def bytes(self) -> int:
        """Size of what goes in."""
        return sum(block.size_bytes for block in self.blocks)


def lengths(settings: TsdbSettings) -> list[int]:
    """Return the lengths of windows in ms, shortest first."""
    longest = settings.longest_block_ms or _LONGEST_MS
    if settings.retention_ms and not settings.longest_block_ms:
        longest = min(longest, settings.retention_ms // _RETENTION_PART)
    found = [settings.block_ms]
    while found[-1] * _STEP <= longest:
        found.append(found[-1] * _STEP)
    return found


def next_merge(blocks: Sequence[Block], settings: TsdbSettings, until_ms: int) -> Merge | None:
    """Return the merge that is most due, or None; only windows that end before ``until_ms`` are touched."""
    for length in lengths(settings):
        if settings.longest_block_ms and length > settings.longest_block_ms:
            break
        windows: dict[int, list[Block]] = {}
        for block in sorted(blocks, key=lambda b: b.meta.rank):
            number = block.meta.mint // length
            if block.meta.maxt // length == number and (number + 1) * length <= until_ms:
                windows.setdefault(number, []).append(block)
        for number in sorted(windows):
            merge = _merge_of(windows[number], blocks, settings)
            if merge is not None:
                return merge
    return None


def _merge_of(
    members: Sequence[Block], blocks: Sequence[Block], settings: TsdbSettings
) -> Merge | None:
    late = set(_foldable(members, blocks))
    taken = tuple(b for b in members if not b.meta.late or b in late)
    merge = Merge(taken)
    late_bytes = sum(block.size_bytes for block in late)
    due = len(taken) - len(late) > 1
    due |= len(late) >= _MANY_LATE or late_bytes * _MUCH_LATE >= merge.bytes
    too_large = (
        settings.retention_bytes and merge.bytes * _RETENTION_PART > settings.retention_bytes
    )
    return merge if len(taken) > 1 and due and not too_large else None


def _foldable(members: Sequence[Block], blocks: Iterable[Block]) -> Iterable[Block]:
    stay = [b for b in blocks if b.meta.late and b not in members]
    for block in members:
        if not block.meta.late:
            continue
        older = [b for b in stay if b.meta.rank < block.meta.rank]
        if any(b.touches(block.meta.mint, block.meta.maxt) for b in older):
            stay.append(block)
        else:
            yield block
