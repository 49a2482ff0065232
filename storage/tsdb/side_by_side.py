"""From the parts that several sources have of a selection to groups, without looking at a sample.

Works where the parts of each series follow one another in time, which is what stores usually hold;
where they overlap it says so, and ``merge`` sorts them sample by sample.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.samples import Bools
from storage.interface import Group
from storage.tsdb.merge import numbered
from storage.tsdb.parts import Part

_ODD = 0x9E3779B97F4A7C15
_MIX = 0xBF58476D1CE4E5B9
_WORD = 2**64 - 1


def lay_out(size: int, parts: Sequence[Part]) -> tuple[Bools | None, tuple[Group, ...]] | None:
    """Put parts side by side.

    Returns:
        ``(found, groups)`` as ``merge.assemble`` gives them, ``found`` None if all were; or None if
        parts of one series overlap.
    """
    if len(parts) == 1 and len(parts[0].pos) == size and parts[0].dense:
        (one,) = parts
        return None, (Group(_rows(one.pos), one.ts_ms, one.ts_row, one.values, dense=True),)
    groups: list[Group] = []
    for members in _alike(size, parts):
        group = _joined(members)
        if group is None:
            return None
        groups.append(group)
    if len(groups) == 1 and groups[0].dense and len(groups[0].rows) == size:
        return None, (groups[0],)
    found, kept = numbered(size, _stacked(groups))
    return (None if found.all() else found), kept


def _rows(pos: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return pos.astype(np.int32)


def _alike(size: int, parts: Sequence[Part]) -> list[list[Part]]:
    """Return, for each kind of series that the same parts have, those parts with only these series."""
    if not parts:
        return []
    if all(len(part.pos) == len(parts[0].pos) for part in parts) and all(
        part.pos is parts[0].pos or np.array_equal(part.pos, parts[0].pos) for part in parts[1:]
    ):
        return [list(parts)]
    signature = np.zeros(size, dtype=np.uint64)
    for number, part in enumerate(parts):
        signature[part.pos] += np.uint64(_scrambled(number + 1))
    _, first, kind = np.unique(signature, return_index=True, return_inverse=True)
    kind = kind.reshape(-1)
    out = []
    for number in range(len(first)):
        members = np.flatnonzero(kind == number)
        have = [one for part in parts if (one := _only(part, members)) is not None]
        if have:
            out.append(have)
    return out


def _scrambled(number: int) -> int:
    """Return 64 bits whose sums differ for different sets of numbers."""
    word = number * _ODD & _WORD
    word = (word ^ word >> 30) * _MIX & _WORD
    return word ^ word >> 27


def _only(part: Part, members: npt.NDArray[np.int64]) -> Part | None:
    """Return a part with only these series, of which it has all or none."""
    at = np.searchsorted(part.pos, members)
    if at[0] == len(part.pos) or part.pos[at[0]] != members[0]:
        return None
    if len(members) == len(part.pos):
        return part
    used, ts_row = np.unique(part.ts_row[at], return_inverse=True)
    own = ts_row.reshape(-1).astype(np.int32)
    return Part(members, part.ts_ms[used], own, part.values[at], part.dense)


def _joined(parts: Sequence[Part]) -> Group | None:
    """Join parts of the same series; None if they overlap."""
    parts = sorted(parts, key=lambda part: int(part.ts_ms[part.ts_row[0], 0]))
    first = parts[0]
    if len(parts) == 1:
        return Group(_rows(first.pos), first.ts_ms, first.ts_row, first.values, first.dense)
    for part, after in itertools.pairwise(parts):
        last, begins = part.ts_ms[:, -1], after.ts_ms[:, 0]
        if last.max() >= begins.min() and (last[part.ts_row] >= begins[after.ts_row]).any():
            return None
    values = np.concatenate([part.values for part in parts], axis=1)
    dense = all(part.dense for part in parts)
    if all(len(part.ts_ms) == 1 for part in parts):
        ts_ms = np.concatenate([part.ts_ms for part in parts], axis=1)
        return Group(_rows(first.pos), ts_ms, first.ts_row, values, dense)
    key = np.zeros(len(first.pos), dtype=np.int64)
    width = 1
    for part in parts:
        if width * len(part.ts_ms) > 2**62:
            key = np.unique(key, return_inverse=True)[1].reshape(-1).astype(np.int64)
            width = len(key)
        key = key * len(part.ts_ms) + part.ts_row
        width *= len(part.ts_ms)
    _, example, row = np.unique(key, return_index=True, return_inverse=True)
    ts_ms = np.concatenate([part.ts_ms[part.ts_row[example]] for part in parts], axis=1)
    return Group(_rows(first.pos), ts_ms, row.reshape(-1).astype(np.int32), values, dense)


def _stacked(groups: Sequence[Group]) -> list[Group]:
    """Put groups of the same length below one another."""
    alike: dict[tuple[int, bool], list[Group]] = {}
    for group in groups:
        alike.setdefault((group.values.shape[1], group.dense), []).append(group)
    return [one if len(rest) == 0 else _stack([one, *rest]) for one, *rest in alike.values()]


def _stack(groups: Sequence[Group]) -> Group:
    before = itertools.accumulate((len(group.ts_ms) for group in groups), initial=0)
    ts_row = [group.ts_row + np.int32(start) for group, start in zip(groups, before, strict=False)]
    return Group(
        np.concatenate([group.rows for group in groups]),
        np.concatenate([group.ts_ms for group in groups]),
        np.concatenate(ts_row),
        np.concatenate([group.values for group in groups]),
        groups[0].dense,
    )
