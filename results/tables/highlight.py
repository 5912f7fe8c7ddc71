"""Decides which entries of a column are its best and its second: by a test over the seeds, not by the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from learngene_bench.results.statistics.paired import indistinguishable_from_best
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.metric_table import Entry, MethodRow
from learngene_bench.results.tables.report_table import Highlight

Numbered = Mapping[int, Entry]
"""Entries of one column, by the number of their row."""


def highlighted(rows: Sequence[MethodRow], measure: Measure) -> tuple[MethodRow, ...]:
    """Returns the rows with the best and the second of each column highlighted.

    Rows are sorted by mean. The best row and all following rows up to the first that differs significantly from it are
    "best", unless no row differs. "second" are the same among the remaining rows, unless these are all that remain: the
    second would be the worst.

    A column with a planned entry that is not done has no highlights: what is missing might be the best. Pre-training is
    a reference and takes none. Rows with fewer than two seeds in common with the best mean cannot be tested and take
    none. Where every row has one seed, the numbers as printed decide.
    """
    entries = [list(row.entries) for row in rows]
    compared = [number for number, row in enumerate(rows) if not row.is_reference]
    for index in range(len(rows[0].entries) if rows else 0):
        column = {number: rows[number].entries[index] for number in compared}
        for number, highlight in _highlights(column, measure).items():
            entries[number][index] = replace(entries[number][index], highlight=highlight)
    return tuple(replace(row, entries=tuple(changed)) for row, changed in zip(rows, entries, strict=True))


def _highlights(column: Numbered, measure: Measure) -> dict[int, Highlight]:
    if any(entry.state in ("incomplete", "failed", "pending") for entry in column.values()):
        return {}
    done = {number: entry for number, entry in column.items() if entry.state == "done"}
    if len(done) < 2:
        return {}
    if all(entry.expected == 1 for entry in done.values()):
        return _by_printed_digits(done, measure)
    leader = max(done.values(), key=lambda entry: _merit(entry, measure)).values.keys()
    tested = {number: entry for number, entry in done.items() if len(entry.values.keys() & leader) > 1}
    best = _best(tested, measure)
    others = {number: entry for number, entry in tested.items() if number not in best}
    if not others:
        return {}
    second = _best(others, measure)
    highlights: dict[int, Highlight] = dict.fromkeys(best, "best")
    return highlights if len(second) == len(others) else highlights | dict.fromkeys(second, "second")


def _merit(entry: Entry, measure: Measure) -> float:
    """The mean, with the sign that makes a higher one better."""
    return measure.sign * (entry.mean or 0.0)


def _best(entries: Numbered, measure: Measure) -> set[int]:
    numbers = sorted(entries, key=lambda number: -_merit(entries[number], measure))
    merits = [{seed: measure.sign * value for seed, value in entries[number].values.items()} for number in numbers]
    tied = indistinguishable_from_best(merits)
    return {number for _, number in takewhile(lambda place: place[0] in tied, enumerate(numbers))}


def _by_printed_digits(entries: Numbered, measure: Measure) -> dict[int, Highlight]:
    """Numbers that print alike share the highlight of the best, and leave no second."""
    texts = {number: measure.text(entry.mean) for number, entry in entries.items() if entry.mean is not None}
    first, second, *rest = sorted(texts.values(), key=lambda text: -measure.sign * float(text))
    highlights: dict[int, Highlight] = {number: "best" for number, text in texts.items() if text == first}
    if rest and second != first:
        highlights |= {number: "second" for number, text in texts.items() if text == second}
    return highlights
