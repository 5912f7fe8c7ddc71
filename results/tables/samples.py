"""Selects what statistics may pool: methods that all have the same columns and seeds. The others are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from learngene_bench.results.statistics.paired import DIGITS
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORDS = {
    "dash": "not supported",
    "not planned": "not planned",
    "incomplete": "incomplete",
    "failed": "failed",
    "pending": "not run",
}


@dataclass(frozen=True)
class Sample:
    """Some rows of a table that all have the same of its columns and seeds.

    Attributes:
        rows: the methods, in the table's order.
        columns: indices of the table's columns; each is a target and a task.
        seeds: seeds that all rows have in all columns.
        excluded: reasons why other rows are not among them, by label.
    """

    table: MetricTable
    rows: tuple[MethodRow, ...]
    columns: tuple[int, ...]
    seeds: tuple[int, ...]
    excluded: Mapping[str, str]

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The metric, an array (row, column, seed)."""
        import numpy as np

        runs = [
            [[row.entries[index].values[seed] for seed in self.seeds] for index in self.columns] for row in self.rows
        ]
        return np.round(np.array(runs, dtype=float), DIGITS)

    @property
    def merits(self) -> NDArray[np.float64]:
        """The values with the sign that makes a higher one better."""
        return self.table.measure.sign * self.values

    @property
    def partial(self) -> bool:
        """True if some columns of the table are not in it."""
        return len(self.columns) < len(self.table.columns)

    @property
    def suffix(self) -> tuple[str, ...]:
        """Words of a file's name that no other sample of the table has."""
        return ("common",) if self.partial else ()


def samples(table: MetricTable) -> list[Sample]:
    """Returns the rows that have every column, and, if some have dashes, those that have every column without one.

    A row with anything missing is excluded, never averaged over the rest. Pre-training is a reference that trains
    longer and is excluded as well. A table whose columns are one target, fine-tuned in several ways, has no sample.
    """
    if not table.compares_targets:
        return []
    everywhere = tuple(range(len(table.columns)))
    made = [_sample(table, everywhere)]
    with_dash = [row for row in _compared(table) if {entry.state for entry in row.entries} == {"done", "dash"}]
    common = tuple(index for index in everywhere if all(row.entries[index].state == "done" for row in with_dash))
    if with_dash and common:
        fewer = _sample(table, common)
        if len(fewer.rows) > len(made[0].rows):
            made.append(fewer)
    return made


def _compared(table: MetricTable) -> list[MethodRow]:
    return [row for row in table.rows if not row.is_reference]


def _sample(table: MetricTable, columns: tuple[int, ...]) -> Sample:
    excluded = {row.label: "a reference" for row in table.rows if row.is_reference}
    whole = []
    for row in _compared(table):
        if lacking := _lacking(table, row, columns):
            excluded[row.label] = lacking
        else:
            whole.append(row)
    seeds = _usual_seeds([_seeds(row, columns) for row in whole])
    rows = [row for row in whole if seeds and set(seeds) <= _seeds(row, columns)]
    excluded |= {row.label: _only(_seeds(row, columns)) for row in whole if row not in rows}
    ordered = {row.label: excluded[row.label] for row in table.rows if row.label in excluded}
    return Sample(table, tuple(rows), columns, seeds, ordered)


def _lacking(table: MetricTable, row: MethodRow, columns: Sequence[int]) -> str:
    """Says what a row does not have; empty if it has everything."""
    states: dict[str, list[int]] = {}
    for index in columns:
        if row.entries[index].state != "done":
            states.setdefault(_WORDS[row.entries[index].state], []).append(index)
    return "; ".join(
        word if len(indices) == len(columns) else f"{word}: {places(table, indices)}"
        for word, indices in states.items()
    )


def places(table: MetricTable, columns: Sequence[int]) -> str:
    """Names columns: "micro depth 4, 6; mini depth 4"."""
    chosen = {size: [index for index in span if index in columns] for size, span in table.sizes().items()}
    return "; ".join(f"{size} {table.labels(indices)}" for size, indices in chosen.items() if indices)


def _seeds(row: MethodRow, columns: Sequence[int]) -> set[int]:
    """Returns the seeds that a row has in every column."""
    return set.intersection(*(set(row.entries[index].values) for index in columns))


def _only(seeds: set[int]) -> str:
    if not seeds:
        return "no seed everywhere"
    return f"only seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"


def _usual_seeds(rows: Sequence[set[int]]) -> tuple[int, ...]:
    """Returns the seeds that more than half of the rows have: a row with fewer does not cost all others theirs."""
    counts = Counter(seed for seeds in rows for seed in seeds)
    return tuple(sorted(seed for seed, count in counts.items() if 2 * count > len(rows)))
