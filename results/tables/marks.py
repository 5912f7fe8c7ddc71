"""Which entries of a column are its best and its second: by a test over the seeds, not by the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from learngene_bench.results.statistics.paired import indistinguishable_from_best
from learngene_bench.results.tables.table import Entry, Mark, Row
from learngene_bench.results.tables.wording import printed


def marked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with the best and the second of each column marked.

    Only a column in which every planned entry is done is marked: what is missing might be the best. Rows of the group
    pre-training are a reference that trains longer and take no mark.

    Best are the highest mean and those after it, by their means, down to the first that the test tells from it, unless
    that is every row: further down a row may scatter so much that no test tells it from anything, but a mean below one
    that is worse is not marked as good. Second are the same of the others, unless these are all the others, when second
    would be the worst. Rows with
    fewer than two seeds in common with the highest cannot be tested and take no mark; if the highest itself has a
    single seed, no row does. With one seed everywhere it goes by the numbers as printed.
    """
    entries = [list(row.entries) for row in rows]
    compared = [number for number, row in enumerate(rows) if row.group != "pre-training"]
    for index in range(len(rows[0].entries) if rows else 0):
        column = {number: rows[number].entries[index] for number in compared}
        for number, mark in _marks(column).items():
            entries[number][index] = replace(entries[number][index], mark=mark)
    return tuple(replace(row, entries=tuple(own)) for row, own in zip(rows, entries, strict=True))


def _marks(column: dict[int, Entry]) -> dict[int, Mark]:
    """The marks of a column, by the numbers of its rows."""
    if any(entry.state in ("incomplete", "failed", "pending") for entry in column.values()):
        return {}
    done = {number: entry for number, entry in column.items() if entry.state == "done"}
    if len(done) < 2:
        return {}
    if all(entry.expected == 1 for entry in done.values()):
        return _by_digits(done)
    highest = max(done.values(), key=lambda entry: entry.mean or 0.0).values.keys()
    tested = {number: entry for number, entry in done.items() if len(entry.values.keys() & highest) > 1}
    best = _best(tested)
    others = {number: entry for number, entry in tested.items() if number not in best}
    if not others:
        return {}
    second = _best(others)
    marks: dict[int, Mark] = dict.fromkeys(best, "best")
    return marks if len(second) == len(others) else marks | dict.fromkeys(second, "second")


def _best(entries: dict[int, Entry]) -> set[int]:
    numbers = sorted(entries, key=lambda number: -(entries[number].mean or 0.0))
    tied = indistinguishable_from_best([entries[number].values for number in numbers])
    return {number for _, number in takewhile(lambda place: place[0] in tied, enumerate(numbers))}


def _by_digits(entries: dict[int, Entry]) -> dict[int, Mark]:
    """Numbers that print alike share the mark of the best, and leave no second."""
    shown = {number: printed(entry.mean) for number, entry in entries.items() if entry.mean is not None}
    first, second, *rest = sorted(shown.values(), key=float, reverse=True)
    marks: dict[int, Mark] = {number: "best" for number, text in shown.items() if text == first}
    if rest and second != first:
        marks |= {number: "second" for number, text in shown.items() if text == second}
    return marks
