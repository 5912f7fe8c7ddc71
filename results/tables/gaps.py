"""Computes gaps to the references where one target is fine-tuned in several ways, and where they close."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.crossing import closing_point, last_open
from learngene_bench.results.statistics.paired import (
    Interval,
    mean,
    paired_differences,
    standard_deviation,
    t_interval,
)
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable


@dataclass(frozen=True)
class Gap:
    """Paired differences of one row to a reference, at the positions at which both are done.

    Attributes:
        positions: epochs of fine-tuning, or percentages of the images; ascending.
        differences: at each position, the row minus the reference by seed; above zero the row is better.
    """

    row: MethodRow
    reference: MethodRow
    positions: tuple[float, ...]
    differences: tuple[Mapping[int, float], ...]

    def at(self, position: float) -> Mapping[int, float]:
        """Returns the differences at a position; none where one of the two is missing."""
        return dict(zip(self.positions, self.differences, strict=True)).get(position, {})

    @cached_property
    def means(self) -> tuple[float, ...]:
        return tuple(mean(list(by_seed.values())) for by_seed in self.differences)

    @cached_property
    def intervals(self) -> tuple[Interval | None, ...]:
        """The 95 % interval at each position, by Student's t over the seeds; None with one seed."""
        return tuple(t_interval(list(by_seed.values())) for by_seed in self.differences)

    @property
    def is_there(self) -> bool:
        """False if a test over the seeds does not tell the first gap from zero; with one seed nothing is tested."""
        return len(self.differences[0]) < 2 or self.open_at is not None

    @cached_property
    def closes_at(self) -> float | None:
        """The position at which the mean gap closes; None if it does not, or there is none to begin with."""
        return closing_point(self.positions, self.means) if self.is_there else None

    @cached_property
    def seeds_close_at(self) -> tuple[float, ...]:
        """The position at which the gap of each seed by itself closes, ascending; infinite where it does not."""
        seeds = set.intersection(*(set(by_seed) for by_seed in self.differences))
        found = [closing_point(self.positions, [by_seed[seed] for by_seed in self.differences]) for seed in seeds]
        return tuple(sorted(math.inf if point is None else point for point in found))

    @cached_property
    def open_at(self) -> float | None:
        """The last position up to which, from the first on, the interval excludes zero; None without any."""
        index = last_open([list(by_seed.values()) for by_seed in self.differences])
        return None if index is None else self.positions[index]

    def spread(self, position: float) -> float | None:
        """Returns the standard deviation of the differences over the seeds; None with fewer than two."""
        values = list(self.at(position).values())
        return standard_deviation(values) if len(values) > 1 else None


@dataclass(frozen=True)
class PlaceGaps:
    """The gaps of all rows at one target, which is fine-tuned in several ways.

    Attributes:
        place: name of the target among those of the table.
        indices: its columns.
        positions: epochs of fine-tuning, or percentages of the images, of each column.
        references: rows that the others are compared with, as the grid names them.
        gaps: by labels of row and reference; of rows that share at least one column and seed with the reference.
        constant: rows that are not fine-tuned, so that the same model stands in every column.
    """

    table: MetricTable
    place: str
    indices: range
    positions: tuple[float, ...]
    rows: tuple[MethodRow, ...]
    references: tuple[MethodRow, ...]
    gaps: Mapping[tuple[str, str], Gap]
    constant: tuple[MethodRow, ...]


def place_gaps(tables: Sequence[MetricTable], results: Results, axis: str) -> list[PlaceGaps]:
    """Computes the gaps at every target of the tables of one axis, along which targets are fine-tuned in several ways.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
        axis: `horizon` or `share`.
    """
    found = [_place(table, name, results) for table in tables if table.axis == axis for name in table.places()]
    return [place for place in found if place.references and place.gaps]


def _place(table: MetricTable, name: str, results: Results) -> PlaceGaps:
    indices = table.places()[name]
    rows = tuple(table.rows_in(indices))
    references = tuple(
        row
        for reference in table.source.references
        for row in rows
        if (row.method, row.variant) == (reference, "") and any(row.entries[index].values for index in indices)
    )
    records = {row.label: _records(table, row, indices, results) for row in rows}
    positions = _positions(table, indices, records)
    gaps = {
        (row.label, reference.label): gap
        for reference in references
        for row in rows
        if row is not reference and (gap := _gap(table, row, reference, indices, positions))
    }
    constant = tuple(
        row
        for row in rows
        if records[row.label]
        and not any(record.cost.finetune.iterations for by in records[row.label].values() for record in by)
    )
    return PlaceGaps(table, name, indices, positions, rows, references, gaps, constant)


def _records(table: MetricTable, row: MethodRow, indices: range, results: Results) -> dict[int, list[Record]]:
    """Returns the records of a row by column, of the columns that are done."""
    return {index: table.records(row, index, results) for index in indices if row.entries[index].state == "done"}


def _positions(
    table: MetricTable, indices: range, records: Mapping[str, Mapping[int, Sequence[Record]]]
) -> tuple[float, ...]:
    """Returns the percentage of each column; or its epochs of fine-tuning, the most of any row at equal budget."""
    values = {index: float(str(table.columns[index].key.fact(table.axis))) for index in indices}
    if table.axis != "horizon":
        return tuple(values.values())
    epochs = {
        index: max(
            (record.cost.finetune.epochs for found in records.values() for record in found.get(index, ())), default=0.0
        )
        for index in indices
    }
    unit = max(epochs[index] / value for index, value in values.items()) or 1.0
    return tuple(epochs[index] or unit * value for index, value in values.items())


def _gap(
    table: MetricTable, row: MethodRow, reference: MethodRow, indices: range, positions: Sequence[float]
) -> Gap | None:
    found: dict[float, dict[int, float]] = {}
    for index, position in zip(indices, positions, strict=True):
        mine, other = row.entries[index], reference.entries[index]
        seeds = sorted(mine.values.keys() & other.values.keys())
        if mine.state == other.state == "done" and seeds:
            values = paired_differences(mine.values, other.values)
            found[position] = {seed: table.measure.sign * value for seed, value in zip(seeds, values, strict=True)}
    return Gap(row, reference, tuple(found), tuple(found.values())) if found else None
