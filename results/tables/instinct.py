"""Instinct and learning ability (the WAVE paper's Figures 4 and 5): how good a target is before it is trained, after
each of its first epochs, and after how many it is as good as the references in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learngene_bench.results.records.details import details
from learngene_bench.results.records.selection import Grid, grids
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.table import Column, Row, Table
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.schema.record import CellRecord

REFERENCES = ("he", "direct-pt")
"""Whose final accuracy the others are to reach: ordinary training from the paper's He-Init, and its pre-training."""

EARLY = 5
"""The last of the first epochs."""


@dataclass(frozen=True)
class Course:
    """How the accuracy of one target rises while it is tuned.

    Attributes:
        values: percent by epoch and seed; of the epochs in which all seeds were measured.
    """

    values: Mapping[float, Mapping[int, float]]

    @property
    def last(self) -> float:
        """The last epoch."""
        return max(self.values, default=0.0)

    def at(self, epoch: float) -> float | None:
        """Mean over the seeds after an epoch, 0 for the target as initialized; None if it was not measured then."""
        return mean(list(self.values[epoch].values())) if epoch in self.values else None

    def reaches(self, accuracy: float) -> float | None:
        """The first epoch with this mean or a higher one; None if there is none until the last."""
        return next((epoch for epoch in sorted(self.values) if (self.at(epoch) or 0.0) >= accuracy), None)


@dataclass(frozen=True)
class Learning:
    """What one row of a table learns at one size.

    Attributes:
        courses: by index of the column; of those that are done.
        records: likewise, by seed.
        initialize_epochs: what the method itself trains before, mean over targets and seeds; None unless all are done.
    """

    row: Row
    courses: Mapping[int, Course]
    records: Mapping[int, Mapping[int, Record]]
    initialize_epochs: float | None

    def planned(self, indices: range) -> list[int]:
        return [index for index in indices if self.row.entries[index].expected]

    def mean_at(self, epoch: float, indices: range) -> float | None:
        """Mean over the planned columns after an epoch; None unless all are done and were measured then."""
        found = [self.courses[index].at(epoch) for index in self.planned(indices) if index in self.courses]
        values = [value for value in found if value is not None]
        return mean(values) if values and len(values) == len(self.planned(indices)) else None


@dataclass(frozen=True)
class InstinctTable:
    """One size of a table of accuracies.

    Attributes:
        indices: the columns of the size.
        epochs: the first whole epochs in which anything was measured, from 0.
        last: the last epoch in which anything was.
        references: the rows that the others are to reach, those of REFERENCES that the table has.
    """

    table: Table
    size: str
    indices: range
    epochs: tuple[float, ...]
    last: float
    rows: tuple[Learning, ...]
    references: tuple[Row, ...]


def instinct_tables(results: Results) -> list[InstinctTable]:
    """One for every size of every table of accuracies after tuning.

    Raises:
        UserError: a record's file is gone since, or its curve is damaged.
    """
    return [
        _instinct_table(grid, table, size, results)
        for grid, table in zip(grids(results), make_tables(results), strict=True)
        for size in table.sizes()
    ]


def _instinct_table(grid: Grid, table: Table, size: str, results: Results) -> InstinctTable:
    indices = table.sizes()[size]
    rows = tuple(
        _learning(grid, table, row, indices, results) for rows in table.groups(indices).values() for row in rows
    )
    measured = {epoch for learning in rows for course in learning.courses.values() for epoch in course.values}
    return InstinctTable(
        table=table,
        size=size,
        indices=indices,
        last=max(measured, default=0.0),
        epochs=tuple(sorted(epoch for epoch in measured if epoch <= EARLY and epoch == int(epoch))),
        rows=rows,
        references=tuple(
            learning.row
            for method in REFERENCES
            for learning in rows
            if learning.row.method == method and not learning.row.variant
        ),
    )


def _learning(grid: Grid, table: Table, row: Row, indices: range, results: Results) -> Learning:
    courses, records = {}, {}
    for index in indices:
        if row.entries[index].state == "done":
            records[index] = _records(grid, row, table.columns[index], results)
            courses[index] = _course(records[index])
    epochs = [record.cost["initialize"].epochs for by_seed in records.values() for record in by_seed.values()]
    complete = len(epochs) == sum(row.entries[index].expected for index in indices)
    return Learning(row, courses, records, mean(epochs) if epochs and complete else None)


def _records(grid: Grid, row: Row, column: Column, results: Results) -> dict[int, Record]:
    cells = grid.cells[row.key, column.key]
    return {seed: results.records[cell.folder] for seed, cell in sorted(cells.items())}


def _course(records: Mapping[int, Record]) -> Course:
    curves = {seed: _measured(details(record)) for seed, record in records.items()}
    common = set.intersection(*(set(curve) for curve in curves.values()))
    return Course({epoch: {seed: curve[epoch] for seed, curve in curves.items()} for epoch in sorted(common)})


def _measured(record: CellRecord) -> dict[float, float]:
    """The primary metric by epoch; what it cannot be, as after a loss of NaN, is left out."""
    spec = record.metric_specs[record.primary_metric]
    values = {point.epoch: point.metrics[spec.name] for point in record.curve if point.metrics}
    return {epoch: value for epoch, value in values.items() if spec.holds(value)}
