"""What a terminal shows: columns that fit, labels that tell series apart, values people can read."""

import sys
from typing import Any

import click
import pytest

from taskscope.cli import output, series

ID_1, ID_2 = "a1" * 32, "b2" * 32


def vector(*labels: dict[str, str], value: str = "1") -> list[dict[str, Any]]:
    """Return an instant query's result."""
    return [{"metric": metric, "value": [0, value]} for metric in labels]


@pytest.mark.parametrize(
    ("result", "header", "first"),
    [
        # what is the same in every row says nothing; ids say nothing beside names
        (
            vector(
                {"app": "shop", "task_name": "shop-1", "task_id": ID_1, "container_id": ID_1, "host": "a"},
                {"app": "shop", "task_name": "shop-2", "task_id": ID_2, "container_id": ID_2, "host": "a"},
            ),
            ["TASK_NAME", "VALUE"],
            ["shop-1", "1"],
        ),
        # two tasks of one name are told apart by the id, which is short
        (
            vector(
                {"task_name": "job", "task_id": ID_1, "container_id": ID_1},
                {"task_name": "job", "task_id": ID_2, "container_id": ID_2},
            ),
            ["TASK_ID", "VALUE"],
            [ID_1[:12], "1"],
        ),
        # one series: who it is
        (
            vector({"__name__": "up", "app": "shop", "task_name": "shop-1", "task_id": ID_1}),
            ["APP", "TASK_NAME", "VALUE"],
            ["shop", "shop-1", "1"],
        ),
        (vector({"task_id": ID_1}), ["TASK_ID", "VALUE"], [ID_1[:12], "1"]),
        (vector({}), ["VALUE"], ["1"]),
        # who has no name is called by its id
        (
            vector({"task_id": ID_1}, {"task_id": ID_2, "task_name": "job"}),
            ["TASK_NAME", "VALUE"],
            [ID_1[:12], "1"],
        ),
        (
            vector({"__name__": "a", "app": "x"}, {"__name__": "b", "app": "x"}),
            ["METRIC", "VALUE"],
            ["a", "1"],
        ),
    ],
)  # fmt: skip
def test_a_vector_has_the_columns_that_tell_its_series_apart(
    result: list[dict[str, Any]], header: list[str], first: list[str]
) -> None:
    """Constant labels and ids beside names are left out; long ids are cut."""
    found, rows = series.instant_table(result)

    assert (found, rows[0]) == (header, first)
    assert len(rows) == len(result)


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        ("0.0062829574888", "", "0.006283"),
        ("17121280", "", "17121280"),
        ("17121280", "container_memory_working_set_bytes", "16.3 MiB"),
        ("NaN", "", "NaN"),
        ("+Inf", "", "+Inf"),
        ("1e300", "", "1e+300"),
        ("NaN", "x_bytes", "NaN"),
    ],
)
def test_values_have_the_digits_that_count(value: str, name: str, text: str) -> None:
    """Four digits, whole numbers whole, sizes as sizes."""
    assert series.value_text(value, name) == text


def test_a_range_has_a_column_for_each_of_few_series() -> None:
    """Times go down, series go across; a missing sample is an empty cell."""
    result: list[dict[str, Any]] = [
        {"metric": {"app": "a"}, "values": [[60, "1"], [120, "2"]]},
        {"metric": {"app": "b"}, "values": [[120, "3"]]},
    ]

    header, rows = series.range_table(result)

    assert header == ["TIME", "a", "b"]
    assert [row[1:] for row in rows] == [["1", ""], ["2", "3"]]


def test_many_series_of_a_range_stand_below_each_other() -> None:
    """Nine series would not fit beside each other."""
    result: list[dict[str, Any]] = [
        {"metric": {"app": str(i)}, "values": [[60, "1"], [120, "2"]]} for i in range(9)
    ]

    header, rows = series.range_table(result)

    assert header == ["TIME", "APP", "VALUE"]
    assert len(rows) == 18


def test_a_pipe_gets_everything() -> None:
    """Every label and digit, and RFC 3339 times."""
    result = vector({"app": "a", "task_id": ID_1}, value="0.0062829574888")

    header, rows = series.full_table(result)

    assert header == ["app", "task_id", "TIME", "VALUE"]
    assert rows == [["a", ID_1, "1970-01-01T00:00:00+00:00", "0.0062829574888"]]


def lines_of_table(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Print a table on a terminal of some width; returns its lines."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [["shop-1", "12", "a rather long sentence about it", ID_1[:12]], ["日本", "7", "", ""]]
    output.table(["TASK", "N", "SUMMARY", "ID"], rows, right=["N"], spare=["ID"])
    return click.unstyle(capsys.readouterr().out).splitlines()


def test_a_wide_terminal_shows_every_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers end at the same place; wide characters count as two."""
    assert lines_of_table(80, monkeypatch, capsys) == [
        "TASK     N  SUMMARY                          ID",
        f"shop-1  12  a rather long sentence about it  {ID_1[:12]}",
        "日本     7",
    ]


@pytest.mark.parametrize("columns", [26, 40, 46])
def test_a_narrow_terminal_loses_spare_columns_before_text(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is longer than the terminal is wide."""
    lines = lines_of_table(columns, monkeypatch, capsys)

    assert max(map(len, lines)) <= columns
    assert "ID" not in lines[0]
    assert lines[1].endswith("…") == (columns < 43)
