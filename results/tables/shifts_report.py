"""Prints a metric on shifted copies of the images, for every column of a table that was evaluated so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from learngene_bench.results.records.evaluations import Evaluations, Key, evaluations_of
from learngene_bench.results.records.predictions import evaluated_predictions
from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.statistics.predictions import calibration
from learngene_bench.results.tables.highlight import highlighted
from learngene_bench.results.tables.metric_report import entry_cell
from learngene_bench.results.tables.metric_table import Entry, EntryState, MethodRow, MetricTable
from learngene_bench.results.tables.notes import legend
from learngene_bench.results.tables.numbers import on_axis
from learngene_bench.results.tables.report_table import Footnotes, ReportCell, ReportColumn, ReportTable, slug
from learngene_bench.schema.evaluation import AppliedShift, EvaluationRecord
from learngene_bench.util.errors import DamagedFile
from learngene_bench.util.lazy import np


@dataclass(frozen=True)
class ColumnShifts:
    """One column of a table, evaluated on shifted copies of its images.

    Attributes:
        shifts: the shifts of any row, by name and level, in the order of names and levels.
        rows: the rows of the column; entries are of the images as they are, of each shift, and the mean of the shifts.
        evaluations: by label of the row and seed.
    """

    table: MetricTable
    index: int
    shifts: Mapping[Key, AppliedShift]
    rows: tuple[MethodRow, ...]
    evaluations: Mapping[str, Mapping[int, Evaluations]]

    @property
    def row_problems(self) -> dict[str, list[str]]:
        """Returns what is wrong with files, by label of the row."""
        return {
            label: list(dict.fromkeys(line for one in by_seed.values() for line in one.problems))
            for label, by_seed in self.evaluations.items()
        }


def column_shifts(table: MetricTable, index: int, results: Results) -> ColumnShifts | None:
    """Returns the shifts of a column; None if no row was evaluated on any."""
    rows = list(table.rows_in([index]))
    found: dict[str, dict[int, Evaluations]] = {}
    for row in rows:
        records = {seed: results.records.get(cell.folder) for seed, cell in table.cells(row, index).items()}
        found[row.label] = {seed: evaluations_of(record) for seed, record in records.items() if record}
    every = {key: one.shift for by in found.values() for each in by.values() for key, one in each.shifted.items()}
    shifts = {key: shift for key, shift in sorted(every.items()) if shift}
    if not shifts:
        return None
    measured = [
        replace(row, entries=(row.entries[index], *_entries(table, row.entries[index], shifts, found[row.label])))
        for row in rows
    ]
    return ColumnShifts(table, index, shifts, highlighted(measured, table.measure), found)


def _entries(
    table: MetricTable, plain: Entry, shifts: Mapping[Key, AppliedShift], found: Mapping[int, Evaluations]
) -> Iterator[Entry]:
    """Yields the entry of each shift, and that of the mean over levels and then over shifts."""
    values: dict[Key, dict[int, float]] = {}
    for key in shifts:
        measured = {seed: one.shifted[key].metrics for seed, one in found.items() if key in one.shifted}
        numbers = {seed: metrics.get(table.measure.spec.name, math.nan) for seed, metrics in measured.items()}
        values[key] = {seed: value for seed, value in numbers.items() if table.measure.usable(value)}
        yield _entry(plain, values[key])
    names = dict.fromkeys(name for name, _ in shifts)
    means = {
        seed: mean([mean([values[key][seed] for key in shifts if key[0] == name]) for name in names])
        for seed in plain.values
        if all(seed in values[key] for key in shifts)
    }
    yield _entry(plain, means)


def _entry(plain: Entry, values: Mapping[int, float]) -> Entry:
    state: EntryState = "pending" if plain.expected else plain.state
    if values:
        state = "done" if len(values) == plain.expected else "incomplete"
    return Entry(state, values, plain.expected)


def shift_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns a table for every column in which any row was evaluated on shifted copies of the images.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
    """
    found = (column_shifts(table, index, results) for table in tables for index in range(len(table.columns)))
    return [_report(shifts) for shifts in found if shifts]


def _report(found: ColumnShifts) -> ReportTable:
    table, column, footnotes = found.table, found.table.columns[found.index], Footnotes()
    measure, better = table.measure, table.measure.spec.higher_is_better
    problems = found.row_problems
    rows = [
        row.report_row(_cells(found, row, footnotes), tuple(map(footnotes.number, problems[row.label])))
        for row in found.rows
    ]
    return ReportTable(
        kind="shifts",
        name=slug("shifts", table.slug, column.size, column.label),
        title=f"{measure.heading} on shifted copies of the images, {on_axis(table.axis, [column.label])}",
        subtitle=table.subtitle,
        identity={**table.identity, "size": column.size, "column": column.label},
        corner=column.size,
        columns=(
            ReportColumn("as is", higher_is_better=better),
            *(
                ReportColumn(f"{level:g}", shift.title, higher_is_better=better)
                for (_, level), shift in found.shifts.items()
            ),
            ReportColumn("all shifts", "Mean", higher_is_better=better),
        ),
        rows=tuple(rows),
        notes=tuple(_notes(found)),
        legend=legend(replace(table, rows=found.rows)),
        footnotes=footnotes.texts,
        data=tuple(line for row in found.rows for line in _data(found, row)),
    )


def _cells(found: ColumnShifts, row: MethodRow, footnotes: Footnotes) -> Iterator[ReportCell]:
    table = found.table
    addresses = tuple(cell.address for cell in table.cells(row, found.index).values())
    for place, entry in enumerate(row.entries):
        texts = [table.footnotes[number - 1] for number in entry.footnotes] if not place else []
        yield entry_cell(table.measure, entry, tuple(map(footnotes.number, texts)), () if place else addresses)


def _notes(found: ColumnShifts) -> Iterator[str]:
    yield (
        "Each model as it was trained on images as they are, measured on copies of the same held-out images that are "
        "changed by a fixed rule, the same for every model; mean over seeds ± standard deviation (n - 1). k/n: only k "
        "of n seeds were evaluated so (`lgbench evaluate`)."
    )
    versions = dict.fromkeys(f"{shift.title}: {shift.version}" for shift in found.shifts.values())
    yield f"Mean: over the levels of a shift, then over the shifts. {'; '.join(versions)}."


def _data(found: ColumnShifts, row: MethodRow) -> Iterator[dict[str, Any]]:
    """One row for each shift, level and seed, with the calibration where predictions are kept."""
    for name, level in found.shifts:
        for seed, evaluations in found.evaluations[row.label].items():
            if record := evaluations.shifted.get((name, level)):
                yield {
                    **row.facts,
                    "seed": seed,
                    "shift": name,
                    "level": level,
                    "images": record.evaluation.images,
                    "value": record.metrics.get(found.table.measure.spec.name),
                    "unshifted": row.entries[0].values.get(seed),
                    **_calibration(evaluations, record),
                }


def _calibration(evaluations: Evaluations, record: EvaluationRecord) -> dict[str, float | None]:
    none: dict[str, float | None] = {"ece": None, "mean_confidence": None}
    try:
        kept = evaluated_predictions(evaluations.folder, record)
    except DamagedFile:
        return none
    if kept is None or not np.isfinite(kept.predictions.confidence).all():
        return none
    found = calibration(kept.predictions.confidence, kept.predictions.right)
    return {"ece": found.error, "mean_confidence": found.mean_confidence}
