"""Computes learning curves: how good a target is as initialized, after its first epochs, and when it is good enough.

The WAVE paper (Figures 4 and 5) calls the quality as initialized and after the first epochs the *instinct* of an
initialization, and its further rise learning ability; the tables of this file go by that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.schema.metric import CurvePoint

EARLY = 5
"""The last of the first epochs."""


@dataclass(frozen=True)
class LearningCurve:
    """The metric of one target over the epochs of its fine-tuning.

    Attributes:
        measure: the metric.
        values: value by epoch and seed, of the epochs in which all seeds were measured.
    """

    measure: Measure
    values: Mapping[float, Mapping[int, float]]

    @property
    def last(self) -> float:
        """The last epoch."""
        return max(self.values, default=0.0)

    def at(self, epoch: float) -> float | None:
        """Returns the mean over seeds after an epoch, 0 for the target as initialized; None if it was not measured."""
        return mean(list(self.values[epoch].values())) if epoch in self.values else None

    def epochs_to_reach(self, goal: float) -> float | None:
        """Returns the first epoch whose mean is at least as good as a goal; None if there is none until the last."""
        sign = self.measure.sign
        return next((epoch for epoch in sorted(self.values) if sign * (self.at(epoch) or 0.0) >= sign * goal), None)


@dataclass(frozen=True)
class MethodCurves:
    """The learning curves of one row of a table at one model size.

    Attributes:
        curves: by index of the column, of the columns that are done.
        records: by index of the column and seed, of the same columns.
        initialize_epochs: epochs that the method itself trains before, mean over targets and seeds; None unless all
            are done.
    """

    row: MethodRow
    curves: Mapping[int, LearningCurve]
    records: Mapping[int, Mapping[int, Record]]
    initialize_epochs: float | None

    def planned(self, indices: range) -> list[int]:
        """Returns the columns in which the row has cells."""
        return [index for index in indices if self.row.entries[index].expected]

    def mean_at(self, epoch: float, indices: range) -> float | None:
        """Returns the mean over the planned columns after an epoch; None unless all were measured then."""
        found = [self.curves[index].at(epoch) for index in self.planned(indices) if index in self.curves]
        values = [value for value in found if value is not None]
        return mean(values) if values and len(values) == len(self.planned(indices)) else None


@dataclass(frozen=True)
class SizeCurves:
    """The learning curves of all rows of a table at one model size.

    Attributes:
        indices: columns of the size.
        epochs: whole epochs up to `EARLY` in which anything was measured, from 0.
        last: the last epoch in which anything was measured.
        references: rows that the others are to reach, as the grid names them.
    """

    table: MetricTable
    size: str
    indices: range
    epochs: tuple[float, ...]
    last: float
    rows: tuple[MethodCurves, ...]
    references: tuple[MethodRow, ...]


def size_curves(tables: Sequence[MetricTable], results: Results) -> list[SizeCurves]:
    """Reads the learning curves of every size of every table whose columns are different targets.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.

    Raises:
        UserError: a record's file is gone since, or its curve is damaged.
    """
    return [_size_curves(table, size, results) for table in tables if table.compares_targets for size in table.sizes()]


def _size_curves(table: MetricTable, size: str, results: Results) -> SizeCurves:
    indices = table.sizes()[size]
    rows = tuple(_method_curves(table, row, indices, results) for row in table.rows_in(indices))
    measured = {epoch for method in rows for curve in method.curves.values() for epoch in curve.values}
    return SizeCurves(
        table=table,
        size=size,
        indices=indices,
        last=max(measured, default=0.0),
        epochs=tuple(sorted(epoch for epoch in measured if epoch <= EARLY and epoch == int(epoch))),
        rows=rows,
        references=tuple(
            method.row
            for reference in table.source.references
            for method in rows
            if (method.row.method, method.row.variant) == (reference, "")
        ),
    )


def _method_curves(table: MetricTable, row: MethodRow, indices: range, results: Results) -> MethodCurves:
    curves, records = {}, {}
    for index in indices:
        if row.entries[index].state == "done":
            records[index] = {seed: results.records[cell.folder] for seed, cell in table.cells(row, index).items()}
            curves[index] = _curve(table.measure, records[index])
    epochs = [record.cost.initialize.epochs for by_seed in records.values() for record in by_seed.values()]
    complete = len(epochs) == sum(row.entries[index].expected for index in indices)
    return MethodCurves(row, curves, records, mean(epochs) if epochs and complete else None)


def _curve(measure: Measure, records: Mapping[int, Record]) -> LearningCurve:
    curves = {seed: _measured(measure, details(record).curve) for seed, record in records.items()}
    common = set.intersection(*(set(curve) for curve in curves.values()))
    values = {epoch: {seed: curve[epoch] for seed, curve in curves.items()} for epoch in sorted(common)}
    return LearningCurve(measure, values)


def _measured(measure: Measure, curve: Sequence[CurvePoint]) -> dict[float, float]:
    """Values by epoch; unusable ones, as after a loss of NaN, are left out."""
    values = {point.epoch: (point.metrics or {}).get(measure.spec.name) for point in curve}
    return {epoch: value for epoch, value in values.items() if value is not None and measure.usable(value)}
