"""info: adds the labels of info metrics that describe the same target (``promql/info.go``)."""

from typing import Final

import numpy as np
from msgspec.structs import replace

from model.errors import QueryError
from model.labels import METRIC_NAME, LabelColumn, Matcher, MatchOp, concat_tables, recode
from model.samples import Bools
from promql import ast
from promql.block import METADATA_LABELS, Block, Index, concat_blocks, merge_same_labels
from promql.call import CallContext
from promql.functions.labels import column_of
from promql.functions.table import VECTOR, function
from promql.regex import matches, quote_meta
from promql.text import metric_text

_IDENTIFYING: Final = ("instance", "job")
_TARGET_INFO: Final = Matcher(METRIC_NAME, MatchOp.EQUAL, "target_info")
_ANY_INFO: Final = Matcher(METRIC_NAME, MatchOp.REGEX, ".+_info")
_NEVER: Final = np.iinfo(np.int64).min


@function(
    "info",
    VECTOR,
    VECTOR,
    variadic=1,
    doc="Adds the labels of the info metrics of the same target: (v, {label selectors}).",
)
def run_info(call: CallContext) -> Block:
    """The second argument chooses the info metrics (by ``__name__``) and the labels that are added."""
    when = call.reference(call.node.args[0])
    at_ms, offset_ms = (when.at_ms, when.offset_ms) if when.uniform else (None, 0)
    base = call.vector(0)
    given = _selectors(call.node)
    names = _name_matchers([m for m in given if m.name == METRIC_NAME])
    wanted = [m for m in given if m.name != METRIC_NAME]
    name = column_of(base.labels, METRIC_NAME)
    is_info = np.array([all(matches(m, text) for m in names) for text in _used(name)], dtype=bool)
    spared: Bools = is_info[_codes(name)]
    times = call.ts_ms if at_ms is None else np.full(call.steps, at_ms, dtype=np.int64)
    found = [
        call.select((*identifying, *wanted, *names), times - offset_ms)
        for identifying in _identifying(base, ~spared)
    ]
    infos = concat_blocks(found) if found else Block.empty(call.steps)
    return _combined(base, infos, spared, wanted)


def _selectors(node: ast.Call) -> tuple[Matcher, ...]:
    if len(node.args) == 1:
        return ()
    selector = node.args[1]
    assert isinstance(selector, ast.VectorSelector)
    return selector.matchers


def _name_matchers(given: list[Matcher]) -> list[Matcher]:
    """Return what chooses the info metrics; with nothing but exclusions they apply to every ``.+_info``."""
    if any(m.op in (MatchOp.EQUAL, MatchOp.REGEX) for m in given):
        return given
    return [_ANY_INFO, *given] if given else [_TARGET_INFO]


def _used(column: LabelColumn) -> list[str]:
    return [column.values[code] for code in np.unique(column.codes).tolist()]


def _codes(column: LabelColumn) -> Index:
    """Return the codes of a column, numbered as ``_used`` lists the values."""
    return np.unique(column.codes, return_inverse=True)[1].reshape(-1)


def _identifying(base: Block, asked: Bools) -> list[tuple[Matcher, ...]]:
    """Return matchers for the info series of some series: one set for each pattern of present labels."""
    columns = [column_of(base.labels, name) for name in _IDENTIFYING]
    present = [column.codes != 0 for column in columns]
    sets = []
    for pattern in ((False, True), (True, False), (True, True)):
        rows = asked & (present[0] == pattern[0]) & (present[1] == pattern[1])
        if not rows.any():
            continue
        matchers = []
        for name, column, here in zip(_IDENTIFYING, columns, pattern, strict=True):
            values = _used(replace(column, codes=column.codes[rows])) if here else []
            text = "|".join(quote_meta(value) for value in sorted(values))
            matchers.append(Matcher(name, MatchOp.REGEX if here else MatchOp.EQUAL, text))
        sets.append(tuple(matchers))
    return sets


def _combined(base: Block, infos: Block, spared: Bools, wanted: list[Matcher]) -> Block:
    """Give each series the labels of its info series; they may change from step to step."""
    if infos.histograms.any():
        row = int(np.flatnonzero(infos.histograms.any(axis=1))[0])
        text = metric_text(infos.labels.labels(row))
        raise QueryError(f"this should be an info metric, with float samples: {text}")
    chosen = _chosen(base, infos, spared)
    rows, steps = np.nonzero(base.present)
    keys = np.stack([rows, *(pick[rows, steps] for pick in chosen)])
    kinds, inverse = np.unique(keys, axis=1, return_inverse=True)
    out_row, source = inverse.reshape(-1), kinds[0]
    matched = (kinds[1:] >= 0).any(axis=0)
    optional = all(matches(m, "") for m in wanted)
    table = base.labels.take(source)
    for name, column in _new_labels(base, infos, kinds, wanted).items():
        table = table.with_column(name, column)
    shape = (len(source), base.present.shape[1])
    present = np.zeros(shape, dtype=bool)
    present[out_row, steps] = True
    present &= (matched | spared[source] | optional)[:, None]
    out = Block(
        table,
        base.values[source],
        present,
        base.drop_name[source],
        None if base.hist is None else base.hist.take(source),
    )
    return merge_same_labels(out.compact())


def _chosen(base: Block, infos: Block, spared: Bools) -> list[Index]:
    """Return, for each info metric, the row that describes a series at each step; -1 for none; shape (n, T) each."""
    if not infos.size or not base.size:
        return []
    both = concat_tables([base.labels.keep(_IDENTIFYING), infos.labels.keep(_IDENTIFYING)])
    group, _ = both.group(_IDENTIFYING)
    own, other = group[: base.size], group[base.size :]
    asked = base.present.any(axis=0)
    name = _codes(column_of(infos.labels, METRIC_NAME))
    assert infos.sample_ms is not None
    out = []
    for number in range(int(name.max()) + 1):
        rows = np.flatnonzero(name == number)
        times = np.where(infos.present[rows], infos.sample_ms[rows], _NEVER)
        best = np.full((int(group.max()) + 1, times.shape[1]), _NEVER)
        np.maximum.at(best, other[rows], times)
        newest = infos.present[rows] & (times == best[other[rows]])
        _check_single(infos, rows, other[rows], newest & asked)
        winner = np.full(best.shape, -1)
        at, step = np.nonzero(newest)
        winner[other[rows[at]], step] = rows[at]
        out.append(np.where(spared[:, None], -1, winner[own]))
    return out


def _check_single(infos: Block, rows: Index, group: Index, newest: Bools) -> None:
    """Refuse two info series of one target that are equally new."""
    counts = np.zeros((int(group.max()) + 1, newest.shape[1]), dtype=np.int64)
    np.add.at(counts, group, newest)
    if not (counts > 1).any():
        return
    step, number = (int(x[0]) for x in np.nonzero((counts > 1).T))
    pair = rows[np.flatnonzero((group == number) & newest[:, step])[:2]].tolist()
    assert infos.sample_ms is not None
    texts = [f"{metric_text(infos.labels.labels(i))} @ {infos.sample_ms[i, step]}" for i in pair]
    raise QueryError(f"found duplicate series for info metric: existing {texts[0]}, new {texts[1]}")


def _new_labels(
    base: Block, infos: Block, kinds: Index, wanted: list[Matcher]
) -> dict[str, LabelColumn]:
    """Return the columns that info series add or fill; what a series has itself stays."""
    names = {m.name for m in wanted}
    out: dict[str, LabelColumn] = {}
    for name, column in infos.labels.columns.items():
        if name in METADATA_LABELS or (names and name not in names):
            continue
        values, (own, other) = recode([column_of(base.labels, name), column])
        old = own[kinds[0]]
        codes = old
        added = np.zeros_like(codes)
        for pick in kinds[1:]:
            value = np.where(pick >= 0, other[np.maximum(pick, 0)], np.int32(0))
            if ((added != 0) & (value != 0) & (added != value)).any():
                raise QueryError(f"conflicting label: {name}")
            added = np.where((old == 0) & (value != 0), value, added)
        out[name] = LabelColumn(np.where(old == 0, added, codes).astype(np.int32), values)
    return {name: column for name, column in out.items() if column.codes.any()}
