"""Numbers in tables of docs/ are those of committed records; what has no record says so, by a dagger in its heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from learngene_bench.results import load, make_tables
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.metric_table import MetricTable

ROOT = Path(__file__).parents[1]
BOARDS = {
    "digits.md": ["digits"],
    "digits-families.md": ["digits-families", "digits"],
    "segmentation.md": ["digits-segmentation", "camvid-segmentation"],
    "tiny-imagenet-laptop.md": ["tiny-imagenet-laptop"],
}
"""Leaderboards that hold the records of a page."""
NUMBER = re.compile(r"\d+\.\d(?: ± \d+\.\d)?")
DAGGER = "†"
FOOTNOTE = "† No record of these numbers is committed"


@lru_cache
def shown(board: str) -> dict[str, set[str]]:
    """Collects what a leaderboard shows of each method, by its title, to one decimal."""
    results = load([ROOT / "results" / "leaderboards" / board])
    found: dict[str, set[str]] = {}
    for initial in (False, True):
        for table in make_tables(results, initial=initial):
            for row in table.rows:
                title = row.label.partition(" (")[0]
                found.setdefault(title, set()).update(_of_row(table, row.label))
                found[title].update(_of_classes(table, row.label, results))
    return found


def _of_row(table: MetricTable, label: str) -> Iterator[str]:
    (row,) = (row for row in table.rows if row.label == label)
    for indices in table.sizes().values():
        means = [row.entries[index].mean for index in indices]
        known = [value for value in means if value is not None]
        if known:
            yield f"{mean(known):.1f}"
        for index in indices:
            entry = row.entries[index]
            if entry.mean is not None:
                yield f"{entry.mean:.1f}"
                yield f"{entry.mean:.1f} ± {entry.standard_deviation or 0:.1f}"


def _of_classes(table: MetricTable, label: str, results: Results) -> Iterator[str]:
    """Values of single metrics and classes, where a task has several: means over the seeds."""
    (row,) = (row for row in table.rows if row.label == label)
    for index in range(len(table.columns)):
        if row.entries[index].mean is None:
            continue
        records = [details(record) for record in table.records(row, index, results)]
        for name in records[0].metrics:
            yield f"{mean([record.metrics[name] for record in records]):.1f}"
        for metric in records[0].class_metrics or {}:
            values = [list((record.class_metrics or {})[metric].values()) for record in records]
            for one in zip(*values, strict=True):
                if known := [value for value in one if value is not None]:
                    yield f"{mean(known):.1f}"
            yield f"{mean([mean([value for value in one[1:] if value is not None]) for one in values]):.1f}"


def unrecorded(page: str, text: str) -> list[str]:
    """Lists the numbers of a page's tables that no record of its leaderboards shows."""
    boards = [shown(board) for board in BOARDS[page]]
    wrong, heading = [], list[str]()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            heading = []
        elif not heading:
            heading = cells
        else:
            label = cells[0].strip("*").split(",")[0].partition(" (")[0]
            known = [board[label] for board in boards if label in board]
            for title, cell in zip(heading[1:], cells[1:], strict=False):
                if known and DAGGER not in title:
                    missing = [one for one in NUMBER.findall(cell) if not any(one in values for values in known)]
                    wrong += [f"{cells[0]}, {title}: {one}" for one in missing]
    return wrong


@pytest.mark.parametrize("page", BOARDS)
def test_numbers_are_recorded(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert unrecorded(page, text) == []
    assert (FOOTNOTE in text) == (DAGGER in text)


def test_a_number_without_a_record_is_found() -> None:
    table = "| | 4 | mean {} |\n|---|---|---|\n| WAVE | 84.2 ± 0.9 | {} |\n"
    assert unrecorded("digits.md", table.format("", "86.2")) == []
    assert unrecorded("digits.md", table.format("", "85.9")) == ["WAVE, mean: 85.9"]
    assert unrecorded("digits.md", table.format(DAGGER, "85.9")) == []
    assert unrecorded("digits.md", table.format("", "86.2").replace("0.9", "5.5")) == ["WAVE, 4: 84.2 ± 5.5"]
