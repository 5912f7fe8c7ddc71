"""One metric of the cells that belong together: numbers by row, column and seed, before anything is printed.

Other tables (comparisons, costs, statistics) and the figures are computed from it; `metric_report` prints it.

    MetricTable
      columns    one for each target and task
      rows       one for each method with its options; costs and means by model size
        entries  one for each column: values by seed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, Literal

from learngene_bench.results.records.grouping import CellKey, ColumnKey, RowKey, TableCells
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean, standard_deviation
from learngene_bench.results.tables.lengths import Length
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.numbers import on_axis
from learngene_bench.results.tables.report_table import NOTHING, Highlight, ReportCell, ReportRow, slug
from learngene_bench.schema.base import Scalar
from learngene_bench.schema.rerun import Rerun
from learngene_bench.schema.subject import EqualBudget, PlannedCell

EntryState = Literal["done", "incomplete", "failed", "pending", "dash", "not planned"]

WAYS = ("horizon", "share")
"""Axes along which a target is the same and its fine-tuning is not."""

REFERENCE_GROUP = "pre-training"
"""Group of methods that are a reference and no initialization: each target is trained for longer than all others."""


@dataclass(frozen=True)
class TargetColumn:
    """One target and task; the label is its value on the table's axis.

    Attributes:
        key: key of the column in `MetricTable.source`.
        label: different for any two columns of a size.
        span: what it has in common with its neighbours, with which the label begins; empty if nothing stands there.
    """

    key: ColumnKey
    label: str
    span: str = ""

    @property
    def size(self) -> str:
        return self.key.size

    @property
    def task(self) -> str:
        return self.key.task

    @property
    def target(self) -> Mapping[str, Scalar]:
        return dict(self.key.target)


@dataclass(frozen=True)
class Entry:
    """Entry of a row in a column.

    Attributes:
        state: "incomplete" has some of its seeds, "failed" and "pending" none; "dash" is not supported by the method;
            "not planned" is in no plan.
        values: the metric by seed.
        expected: number of planned seeds.
        highlight: best or second of its column.
        footnotes: numbers of the table's footnotes, from 1.
    """

    state: EntryState
    values: Mapping[int, float]
    expected: int
    highlight: Highlight = ""
    footnotes: tuple[int, ...] = ()

    @cached_property
    def mean(self) -> float | None:
        """Mean over seeds; None unless every planned seed is there: a mean over the rest is of something else."""
        return mean(list(self.values.values())) if self.state == "done" else None

    @cached_property
    def standard_deviation(self) -> float | None:
        """Standard deviation over seeds, with n - 1; None unless done with at least two seeds."""
        return standard_deviation(list(self.values.values())) if self.state == "done" and self.expected > 1 else None


@dataclass(frozen=True)
class SizeMean:
    """A row's mean over the columns of one model size that its method supports.

    Attributes:
        value: None unless every planned seed of every such column is there.
        done: number of the `expected` cells that are there; none are expected where nothing is planned.
        footnotes: numbers of footnotes that name the columns, if not all of the size are in the mean.
    """

    value: float | None
    done: int
    expected: int
    footnotes: tuple[int, ...] = ()


@dataclass(frozen=True)
class SizeCosts:
    """Cost of a row at one model size, as means over targets and seeds.

    Attributes:
        stored_parameters: parameters that are stored and inherited; None where nothing is planned.
        initialize_iterations: iterations that the method trains for one target while initializing it; None unless all
            `expected` cells are done.
        initialize_parameters: numbers that the method trains in these iterations, for each cell, ascending; None also
            where records do not tell it.
        initialize_images: images of the same phase.
        target_flops: floating-point operations of initializing and fine-tuning one target, without preparing its gene.
        done: number of the `expected` cells that are done.
    """

    stored_parameters: float | None
    initialize_iterations: float | None
    initialize_parameters: tuple[int, ...] | None
    initialize_images: float | None
    target_flops: float | None
    done: int
    expected: int

    @property
    def missing(self) -> str:
        """Text for a number that is not there: how many cells are done, if not all; else a dash."""
        return f"{self.done}/{self.expected}" if self.done < self.expected else NOTHING


@dataclass(frozen=True)
class MethodRow:
    """One method, with one choice of its options.

    Attributes:
        label: different for any two rows of a table.
        prepare_epochs: epochs of preparing the gene; the different values among the cells, ascending.
        costs: by model size.
        entries: in the order of the table's columns.
        means: by model size, the row's own and then those at each of the table's `budgets`. Empty where the table has
            no budgets, except for tables of tasks.
        reruns: who has computed cells of the row once more, by model size.
    """

    group: str
    method: str
    variant: str
    label: str
    prepare_epochs: tuple[float, ...]
    costs: Mapping[str, SizeCosts]
    entries: tuple[Entry, ...]
    means: Mapping[str, tuple[SizeMean, ...]]
    reruns: Mapping[str, tuple[Rerun, ...]] = field(default_factory=dict)

    @property
    def key(self) -> RowKey:
        """Key of the row in `MetricTable.source`."""
        return RowKey(self.method, self.variant)

    @property
    def is_reference(self) -> bool:
        """Returns True for pre-training, which takes no part in comparisons of initializations."""
        return self.group == REFERENCE_GROUP

    def report_row(self, cells: Iterable[ReportCell], footnotes: tuple[int, ...] = ()) -> ReportRow:
        """Returns the row of a report table that has these cells for the method."""
        return ReportRow(self.group, self.label, tuple(cells), footnotes, self.facts)

    @property
    def facts(self) -> dict[str, str]:
        """The names of the row, as they stand in `ReportTable.data`."""
        return {"group": self.group, "method": self.method, "variant": self.variant, "title": self.label}


@dataclass(frozen=True)
class MetricTable:
    """One metric of the cells with one protocol, setting, grid and axis.

    Attributes:
        title: what is measured and what the columns differ in.
        measure: the metric.
        source: the cells that the table is made of.
        budgets: budgets of the table's own equal-budget siblings, whose means stand beside its own.
        other_protocols: other protocol versions that have results too, in tables of their own.
        test_images: different sizes of the test splits, ascending.
        measured_how: how images were looked at, with the tasks of which this is said.
        replaced: number of results that are left out because a newer plan replaces theirs.
        footnotes: reasons of dashes and failures; entries refer to them by number, from 1.
        lengths: how long targets were fine-tuned, by row and column.
        doubts: what makes no sense about that, in sentences.
    """

    title: str
    measure: Measure
    source: TableCells
    budgets: tuple[EqualBudget, ...]
    columns: tuple[TargetColumn, ...]
    rows: tuple[MethodRow, ...]
    other_protocols: tuple[int, ...]
    test_images: tuple[int, ...]
    measured_how: Mapping[str, tuple[str, ...]]
    replaced: int
    footnotes: tuple[str, ...]
    lengths: Mapping[CellKey, Length]
    doubts: tuple[str, ...]

    @property
    def axis(self) -> str:
        """Difference between the columns."""
        return self.source.axis

    @property
    def compares_targets(self) -> bool:
        """True if columns are different targets; False if they are one, fine-tuned in several ways."""
        return self.axis not in WAYS

    @property
    def equal_budget(self) -> EqualBudget | None:
        """The budget, if this is the equal-budget sibling of another table."""
        return self.source.equal_budget

    @property
    def identity(self) -> dict[str, Any]:
        """Facts that all comparable numbers share: the first columns of every CSV, the head of every JSON table."""
        source = self.source
        return {
            "protocol": source.protocol,
            "setting": source.setting,
            "setting_description": source.setting_description,
            "preset": source.preset,
            "grid": source.name,
            "axis": source.axis,
            "metric": self.measure.name,
            "equal_budget": self.equal_budget and self.equal_budget.text,
        }

    @property
    def subtitle(self) -> str:
        """The same in words."""
        return f"{self.source.setting_description} (setting {self.source.setting[:8]}, protocol {self.source.protocol})"

    @property
    def trains_at_initialization(self) -> bool:
        """True if some method trains while it initializes, or may do so; if none does, there are only zeros to show."""
        costs = [costs for row in self.rows for costs in row.costs.values()]
        return any(each.expected and each.initialize_iterations != 0 for each in costs)

    @property
    def slug(self) -> str:
        """Name for files and labels."""
        return slug(self.source.name, self.measure.name, self.source.setting[:8], f"protocol{self.source.protocol}")

    @property
    def reruns(self) -> tuple[Rerun, ...]:
        """Re-runs of cells of the table; told of metrics after fine-tuning only."""
        if self.measure.initial:
            return ()
        return tuple(line for row in self.rows for lines in row.reruns.values() for line in lines)

    def sizes(self) -> dict[str, range]:
        """Returns each model size with the indices of its columns, which stand side by side."""
        sizes: dict[str, range] = {}
        for size, indices in groupby(range(len(self.columns)), key=lambda index: self.columns[index].size):
            first, *rest = indices
            sizes[size] = range(first, first + len(rest) + 1)
        return sizes

    def places(self) -> dict[str, range]:
        """Returns each model size with the indices of its columns; each of its targets, fine-tuned in several ways."""
        if self.compares_targets:
            return self.sizes()
        places: dict[str, range] = {}
        for key, indices in groupby(range(len(self.columns)), key=lambda index: self.columns[index].key.place):
            first, *rest = indices
            span = self.columns[first].span
            name = key.size if span == self.axis else f"{key.size}, {span}"
            places[name] = range(first, first + len(rest) + 1)
        return places

    def rows_in(self, indices: Iterable[int]) -> Iterator[MethodRow]:
        """Yields the rows that have anything in some of these columns."""
        indices = list(indices)
        return (row for row in self.rows if any(row.entries[index].state != "not planned" for index in indices))

    def labels(self, indices: Iterable[int]) -> str:
        """Names columns by their labels: "depth 4, 6"."""
        return on_axis(self.axis, [self.columns[index].label for index in indices])

    def cells(self, row: MethodRow, index: int) -> dict[int, PlannedCell]:
        """Returns the planned cells of an entry by seed, ascending."""
        return dict(sorted(self.source.cells.get((row.key, self.columns[index].key), {}).items()))

    def records(self, row: MethodRow, index: int, results: Results) -> list[Record]:
        """Returns the records of an entry that is done."""
        return [results.records[cell.folder] for cell in self.cells(row, index).values()]
