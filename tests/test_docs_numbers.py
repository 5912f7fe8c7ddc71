"""Numbers in tables and sentences of docs/ are those of committed records; what has no record has a dagger."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from learngene_bench.results import load, make_tables
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.shifts_report import column_shifts

ROOT = Path(__file__).parents[1]
BOARDS = {
    "digits.md": ["digits", "digits-objections"],
    "digits-families.md": ["digits-families", "digits"],
    "digits-initializers.md": [
        "digits-initializers",
        "digits",
        "digits-growth",
        "digits-shrink",
        "digits-width",
    ],
    "digits-objections.md": ["digits-objections", "digits-baselines"],
    "digits-seeds.md": ["digits-crossed-seeds"],
    "segmentation.md": ["digits-segmentation", "camvid-segmentation"],
    "tiny-imagenet-laptop.md": [
        "tiny-imagenet-laptop",
        "tiny-imagenet-laptop-rates",
        "tiny-imagenet-laptop-objections",
        "tiny-imagenet-laptop-growth",
    ],
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
            for title, value in () if initial else _of_shifts(table, results):
                found[title].add(value)
    return found


def _of_shifts(table: MetricTable, results: Results) -> Iterator[tuple[str, str]]:
    """Values on shifted copies of the images, with the title of their method."""
    for index in range(len(table.columns)):
        for row in shifts.rows if (shifts := column_shifts(table, index, results)) else ():
            for entry in row.entries:
                if entry.mean is not None:
                    yield row.label.partition(" (")[0], f"{entry.mean:.1f} ± {entry.standard_deviation or 0:.1f}"


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
            known = [values for board in boards for title, values in board.items() if title.split(",")[0] == label]
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


PROSE = {
    "digits.md": ("",),
    "digits-families.md": ("",),
    "digits-objections.md": ("",),
    "digits-seeds.md": ("",),
    "segmentation.md": ("What it shows",),
    "tiny-imagenet-laptop.md": ("",),
}
"""Pages whose sentences are compared too: those below headings that begin so."""
DECIMAL = re.compile(r"(?<![\w.,/=-])(?<!± )\d*\.\d(?![\w.]*\d|e-)")
"""A number of one decimal, as results are printed; versions, addresses and the spread of a difference are none."""
STATISTICS = re.compile(r"\b(tau|rho|interval|standard (error|deviation)|times|million|cosine|GB|validation)\b")
"""Words of sentences whose numbers are no results of methods, nor their differences."""
NAMES = {
    "Wt Select": "weight selection",
    "Share Init": "Share",
    "Direct PT": "pre-train",
    "GHN-3-style, trained here": "GHN-3",
}
"""Other names of methods in sentences, by what tables call them."""


def paragraphs(page: str, text: str) -> Iterator[str]:
    """Yields paragraphs and points of lists below the headings that count, without code, tables and links."""
    heading, block, fenced = "", list[str](), False
    for line in [*text.splitlines(), ""]:
        if line.startswith("```"):
            fenced = not fenced
        starts = not line or line.startswith(("#", "|", "- ", "```", "!", "*`")) or fenced
        if starts and block:
            yield " ".join(block)
            block = []
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line and not fenced and not line.startswith(("|", "```", "!", "*`")) and heading.startswith(PROSE[page]):
            block.append(re.sub(r"`[^`]*`|\]\([^)]*\)", "", line.removeprefix("- ").strip()))


def sentences(paragraph: str) -> list[str]:
    return re.split(r"(?<=[.!?])\**\s+(?=[A-Z*(])", paragraph)


def named(text: str, titles: Iterable[str]) -> set[str]:
    """Finds the methods that a text names."""
    return {title for title in titles if title in text or NAMES.get(title, title) in text}


@lru_cache
def by_column(board: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Collects the means of each method by metric and column, and over the columns of a size."""
    results = load([ROOT / "results" / "leaderboards" / board])
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for initial in (False, True):
        for table in make_tables(results, initial=initial):
            for row in table.rows:
                values = found.setdefault(row.label.partition(" (")[0], {})
                for size, indices in table.sizes().items():
                    place = (table.source.setting, str(initial), row.variant, size)
                    means = {table.columns[index].label: row.entries[index].mean for index in indices}
                    known = {label: value for label, value in means.items() if value is not None}
                    values |= {(*place, label): value for label, value in known.items()}
                    if known:
                        values[(*place, "mean")] = mean(list(known.values()))
    return found


@lru_cache
def of_seeds(board: str) -> dict[str, set[str]]:
    """Collects the numbers of single seeds of each method."""
    found: dict[str, set[str]] = {}
    for table in make_tables(load([ROOT / "results" / "leaderboards" / board])):
        for row in table.rows:
            values = [f"{value:.1f}" for entry in row.entries for value in entry.values.values()]
            found.setdefault(row.label.partition(" (")[0], set()).update(values)
    return found


def differences(boards: Iterable[str], methods: set[str]) -> set[str]:
    """Differences of any two of these methods, or variants of one, in one column; rounded as they are printed."""
    found: set[str] = set()
    for board in boards:
        values = [
            ((place[0], place[1], *place[3:]), value)
            for method, columns in by_column(board).items()
            if method in methods
            for place, value in columns.items()
        ]
        for (place, one), (other_place, other) in itertools.combinations(values, 2):
            if place == other_place:
                found |= {f"{abs(one - other):.1f}", f"{abs(round(one, 1) - round(other, 1)):.1f}"}
    return found


def gains(boards: Iterable[str], methods: set[str]) -> set[str]:
    """Differences of one of these methods in one column of two settings; rounded as they are printed."""
    found: set[str] = set()
    for board in boards:
        for method in methods & by_column(board).keys():
            for (place, one), (other_place, other) in itertools.combinations(by_column(board)[method].items(), 2):
                if place[0] != other_place[0] and place[1:] == other_place[1:]:
                    found |= {f"{abs(one - other):.1f}", f"{abs(round(one, 1) - round(other, 1)):.1f}"}
    return found


def wrong_in_prose(page: str, text: str) -> list[str]:
    """Lists the numbers in sentences that are no result of a method that is named there, and no difference of two."""
    boards = BOARDS[page]
    titles = {title for board in boards for title in shown(board)}
    wrong = []
    for paragraph in paragraphs(page, text):
        for sentence in sentences(paragraph):
            numbers = DECIMAL.findall(sentence)
            if not numbers or DAGGER in sentence or STATISTICS.search(sentence):
                continue
            methods = named(sentence, titles)
            if len(methods) < 2:
                methods |= named(paragraph, titles)
            if "very method" in sentence:
                methods = titles
            known = {value for board in boards for name in methods for value in shown(board).get(name, ())}
            known |= differences(boards, methods)
            if "gain" in sentence:
                known |= gains(boards, methods)
            if "seed" in sentence:
                known |= {value for board in boards for name in methods for value in of_seeds(board).get(name, ())}
            wrong += [f"{number}: {sentence}" for number in numbers if f"{float(number):.1f}" not in known]
    return wrong


@pytest.mark.parametrize("page", PROSE)
def test_numbers_in_sentences_are_recorded(page: str) -> None:
    assert wrong_in_prose(page, (ROOT / "docs" / page).read_text(encoding="utf-8")) == []


def test_a_wrong_number_in_a_sentence_is_found() -> None:
    text = "# What\n\nWAVE is ahead of TELG by {} points at depth 4 ({} and 82.9)."
    assert wrong_in_prose("digits.md", text.format("1.3", "84.2")) == []
    assert [line.partition(":")[0] for line in wrong_in_prose("digits.md", text.format("2.9", "70.6"))] == [
        "2.9",
        "70.6",
    ]


def test_a_gain_is_between_two_settings() -> None:
    text = "# What\n\nAuto-LG, which gains {} points at depth 4, has another rate."
    assert wrong_in_prose("digits-objections.md", text.format("3.6")) == []
    assert wrong_in_prose("digits-objections.md", text.format("4.6")) != []
