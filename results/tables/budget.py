"""Equal budget: a setting in which every method has as many iterations, its own of initializing counted against tuning.

Such a setting is the sibling of the one with the ordinary budgets. Its table is a table of its own; the ordinary one
has its means, so that a method that is ahead only because it trains longer can be seen to be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from learngene_bench.results.records.selection import ColumnKey, Grid, RowKey
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.table import Mean, Table
from learngene_bench.results.tables.wording import on_axis
from learngene_bench.schema.base import Scalar


def means(
    grid: Grid,
    siblings: Sequence[Grid],
    row: RowKey,
    labels: Mapping[ColumnKey, str],
    results: Results,
    metric: str,
    footnote: Callable[[str], int],
) -> tuple[Mean, ...]:
    """The row's mean over the columns, and the means of the same targets and seeds in each sibling.

    Args:
        labels: the columns with what stands above them.
        footnote: the number of a footnote with this text.
    """
    seeds = {column: cells.keys() for column in labels if (cells := grid.cells.get((row, column)))}
    found = [_mean(source, row, seeds, results, metric) for source in (grid, *siblings)]
    if not seeds or len(seeds) == len(labels) or all(mean.value is None for mean in found):
        return tuple(found)
    note = footnote(f"mean over {on_axis(grid.axis, [labels[column] for column in seeds])} only")
    return tuple(mean if mean.value is None else Mean(mean.value, mean.done, mean.expected, (note,)) for mean in found)


def _mean(grid: Grid, row: RowKey, seeds: Mapping[ColumnKey, Collection[int]], results: Results, metric: str) -> Mean:
    """The mean over the columns of the means over these seeds; what the grid has no plan for is missing like others."""
    planned = {column: grid.cells.get((row, column), {}) for column in seeds}
    if not any(planned.values()):
        return Mean(None, 0, 0)
    values = []
    for column, wanted in seeds.items():
        outcomes = [results.outcome(cell) for seed, cell in sorted(planned[column].items()) if seed in wanted]
        measured = [outcome.measured(metric) for outcome in outcomes if isinstance(outcome, Record)]
        values.append([value for value in measured if value is not None])
    done, expected = sum(map(len, values)), sum(map(len, seeds.values()))
    return Mean(mean([mean(column) for column in values]) if done == expected else None, done, expected)


def repeats(table: Table, others: Sequence[Table]) -> bool:
    """Whether the table is another's sibling and has only numbers that stand in the other one as well."""
    budget = table.equal_budget
    return budget is not None and any(
        (other.protocol, other.grid, other.axis, other.setting) == (table.protocol, table.grid, table.axis, budget.of)
        and _numbers(table).items() <= _numbers(other).items()
        for other in others
    )


def _numbers(table: Table) -> dict[tuple[object, ...], Mapping[int, float]]:
    """The values by seed of every entry that has any."""

    def target(facts: Mapping[str, Scalar]) -> tuple[object, ...]:
        return tuple(sorted(facts.items()))

    return {
        (row.method, row.variant, column.size, column.task, target(column.target)): entry.values
        for row in table.rows
        for column, entry in zip(table.columns, row.entries, strict=True)
        if entry.values
    }
