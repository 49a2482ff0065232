"""The words and signs of the language that stand for something."""

from typing import Final

AGGREGATORS: Final = frozenset(
    {
        "sum",
        "avg",
        "count",
        "min",
        "max",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "count_values",
        "quantile",
        "limitk",
        "limit_ratio",
    }
)
SET_OPERATORS: Final = frozenset({"and", "or", "unless"})
COMPARISONS: Final = frozenset({"==", "!=", "<=", "<", ">=", ">"})
TRIMS: Final = frozenset({"</", ">/"})
OPERATORS: Final = (
    SET_OPERATORS | COMPARISONS | TRIMS | {"+", "-", "*", "/", "%", "^", "atan2", "=~", "!~", "@"}
)
KEYWORDS: Final = frozenset(
    {
        "offset",
        "smoothed",
        "anchored",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "fill",
        "fill_left",
        "fill_right",
        "bool",
        "start",
        "end",
        "step",
        "range",
        "max_of",
        "min_of",
    }
)
