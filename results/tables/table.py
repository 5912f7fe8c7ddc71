"""The table that every format renders: numbers and facts, no layout.

Table
  columns: size and label ("micro", "4")
  rows: group, label, costs by size
    entries: one for each column
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

from learngene_bench.results.records.selection import ColumnKey, RowKey
from learngene_bench.results.statistics.paired import mean, standard_deviation
from learngene_bench.schema.base import Scalar
from learngene_bench.schema.subject import EqualBudget

State = Literal["done", "incomplete", "failed", "pending", "dash", "not planned"]
Mark = Literal["", "best", "second"]


def slug(*words: str) -> str:
    """A name for files and labels, in letters, digits and hyphens."""
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-") for word in words)


@dataclass(frozen=True)
class Column:
    """One target (and task); the label is its place on the table's axis."""

    size: str
    label: str
    task: str
    target: Mapping[str, Scalar]

    @property
    def key(self) -> ColumnKey:
        """What the grid that the table is of calls it."""
        return ColumnKey(self.size, self.task, tuple(sorted(self.target.items())))


@dataclass(frozen=True)
class Entry:
    """What stands where a row and a column meet.

    Attributes:
        state: "incomplete" has some of its seeds, "failed" and "pending" none; "dash" is not supported by the method;
            "not planned" is in no plan.
        values: the metric in percent, by seed.
        expected: how many seeds are planned.
        mark: best or second of its column.
        footnotes: numbers in the table's footnotes, from 1.
    """

    state: State
    values: Mapping[int, float]
    expected: int
    mark: Mark = ""
    footnotes: tuple[int, ...] = ()

    @cached_property
    def mean(self) -> float | None:
        """None unless every planned seed is there: a mean over the rest would be of something else."""
        return mean(list(self.values.values())) if self.state == "done" else None

    @cached_property
    def standard_deviation(self) -> float | None:
        """Over seeds, with n - 1; None unless done with at least two seeds."""
        return standard_deviation(list(self.values.values())) if self.state == "done" and self.expected > 1 else None


@dataclass(frozen=True)
class Mean:
    """A row's mean over the columns of one size that its method supports.

    Attributes:
        value: None unless every planned seed of every such column is there.
        done: how many of the `expected` cells are there; none are expected where nothing is planned.
        footnotes: which columns it is over, if not all.
    """

    value: float | None
    done: int
    expected: int
    footnotes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Costs:
    """What a row costs at one size, as means over its targets and seeds.

    Attributes:
        stored_parameters: "Para."; None where nothing is planned.
        initialize_iterations: a method's own fitting to one target; None unless all `expected` cells are done.
        initialize_seconds: of the same phase.
        done: how many of the `expected` cells are done.
    """

    stored_parameters: float | None
    initialize_iterations: float | None
    initialize_seconds: float | None
    done: int
    expected: int


@dataclass(frozen=True)
class Row:
    """One method, with one choice of its options.

    Attributes:
        label: what to print; different for any two rows of a table.
        prepare_epochs: "Epoch"; the different values among its cells, ascending, none where nothing is prepared.
        costs: by size.
        entries: in the order of the table's columns.
        means: by size, of the row itself and then at each of the table's `budgets`; empty where there are none, but for
            tables of tasks.
    """

    group: str
    method: str
    variant: str
    label: str
    prepare_epochs: tuple[float, ...]
    costs: Mapping[str, Costs]
    entries: tuple[Entry, ...]
    means: Mapping[str, tuple[Mean, ...]]

    @property
    def key(self) -> RowKey:
        """What the grid that the table is of calls it."""
        return RowKey(self.method, self.variant)


@dataclass(frozen=True)
class Table:
    """One metric of the cells with one protocol, setting, grid and axis.

    Attributes:
        grid: name of the grid of targets; axis is what differs between these.
        equal_budget: what it is the equal-budget sibling of, if it is one.
        budgets: iterations of its own equal-budget siblings, beside whose means its own stand.
        other_protocols: versions of which there are results too, in tables of their own.
        test_images: the different sizes of the test splits, ascending.
        superseded: results of older plans that a newer plan replaces, left out.
        footnotes: reasons of dashes and failures; entries refer to them by number, from 1.
    """

    title: str
    metric: str
    grid: str
    axis: str
    preset: str
    setting: str
    setting_description: str
    protocol: int
    equal_budget: EqualBudget | None
    budgets: tuple[int, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    other_protocols: tuple[int, ...]
    test_images: tuple[int, ...]
    superseded: int
    footnotes: tuple[str, ...]

    @property
    def subtitle(self) -> str:
        """What the numbers are comparable within."""
        return f"{self.setting_description} (setting {self.setting[:8]}, protocol {self.protocol})"

    @property
    def slug(self) -> str:
        return slug(self.grid, self.metric, self.setting[:8], f"protocol{self.protocol}")

    def sizes(self) -> dict[str, range]:
        """Each size with the indices of its columns, which stand side by side."""
        sizes: dict[str, range] = {}
        for size, indices in groupby(range(len(self.columns)), key=lambda index: self.columns[index].size):
            first, *rest = indices
            sizes[size] = range(first, first + len(rest) + 1)
        return sizes

    def groups(self, indices: Iterable[int]) -> dict[str, list[Row]]:
        """The row groups in the paper's order, each with the rows for which these columns hold anything."""
        indices = list(indices)
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            if any(row.entries[index].state != "not planned" for index in indices):
                groups.setdefault(row.group, []).append(row)
        return groups
