"""Equal budget: a setting in which every method trains on the same number of images to initialize and to fine-tune.

Such a setting is the sibling of the one with ordinary budgets and has a table of its own. The ordinary table has the
sibling's means beside its own, so that a method that is ahead only because it trains longer can be seen to be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from learngene_bench.results.records.grouping import ColumnKey, RowKey, TableCells
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable, SizeMean
from learngene_bench.results.tables.numbers import on_axis
from learngene_bench.schema.subject import EqualBudget


def at_equal_budget(budget: EqualBudget) -> str:
    """Names the budget in titles."""
    return f"at equal budget ({budget.text})"


def size_means(
    grid: TableCells,
    siblings: Sequence[TableCells],
    row: RowKey,
    labels: Mapping[ColumnKey, str],
    results: Results,
    measure: Measure,
    footnote: Callable[[str], int],
) -> tuple[SizeMean, ...]:
    """Returns a row's mean over the columns of a size, then the means of the same targets and seeds in each sibling.

    Args:
        labels: the columns with their labels.
        footnote: returns the number of a footnote with this text.
    """
    seeds = {column: cells.keys() for column in labels if (cells := grid.cells.get((row, column)))}
    found = [_size_mean(source, row, seeds, results, measure) for source in (grid, *siblings)]
    if not seeds or len(seeds) == len(labels) or all(mean.value is None for mean in found):
        return tuple(found)
    note = footnote(f"mean over {on_axis(grid.axis, [labels[column] for column in seeds])} only")
    return tuple(mean if mean.value is None else replace(mean, footnotes=(note,)) for mean in found)


def _size_mean(
    grid: TableCells, row: RowKey, seeds: Mapping[ColumnKey, Collection[int]], results: Results, measure: Measure
) -> SizeMean:
    """The mean over the columns of the means over these seeds; what the grid has no plan for is missing like others."""
    planned = {column: grid.cells.get((row, column), {}) for column in seeds}
    if not any(planned.values()):
        return SizeMean(None, 0, 0)
    values = []
    for column, wanted in seeds.items():
        outcomes = [results.outcome(cell) for seed, cell in sorted(planned[column].items()) if seed in wanted]
        values.append(measure.values(outcome for outcome in outcomes if isinstance(outcome, Record)))
    done, expected = sum(map(len, values)), sum(map(len, seeds.values()))
    return SizeMean(mean([mean(column) for column in values]) if done == expected else None, done, expected)


def repeats(table: MetricTable, others: Sequence[MetricTable]) -> bool:
    """Returns whether the table is another's sibling and has no number that the other one does not have as well."""
    return any(
        (table.source.is_equal_budget_of(other.source) or table.source.is_best_of(other.source))
        and _numbers(table).items() <= _numbers(other).items()
        for other in others
    )


def _numbers(table: MetricTable) -> dict[tuple[RowKey, ColumnKey], Mapping[int, float]]:
    """The values by seed of every entry that has any."""
    return {
        (row.key, column.key): entry.values
        for row in table.rows
        for column, entry in zip(table.columns, row.entries, strict=True)
        if entry.values
    }


def lost_leads(table: MetricTable, size: str) -> list[str]:
    """Names the methods that are ahead of others only because they train longer, in the means over a size's columns.

    Only complete means over the same columns are compared, as they are printed: a lead that nobody can see is none.
    Pre-training, the reference, is left out.
    """
    rows = [row for row in table.rows if not row.is_reference and row.means.get(size)]
    where = f"{size}: " if len(table.sizes()) > 1 else ""
    return [
        f"{where}{row.label} is ahead of {', '.join(over)} only with more training, not {at_equal_budget(budget)}."
        for place, budget in enumerate(table.budgets, start=1)
        for row in rows
        if (over := [other.label for other in rows if _loses_lead(table, row, other, size, place)])
    ]


def _loses_lead(table: MetricTable, row: MethodRow, other: MethodRow, size: str, place: int) -> bool:
    longer, shorter = row.costs[size].initialize_images, other.costs[size].initialize_images
    if longer is None or shorter is None or longer <= shorter:
        return False
    if any(row.entries[index].expected != other.entries[index].expected for index in table.sizes()[size]):
        return False
    lead, at_equal_budget = (_printed_lead(table.measure, row, other, size, position) for position in (0, place))
    return lead is not None and at_equal_budget is not None and lead > 0 >= at_equal_budget


def _printed_lead(measure: Measure, row: MethodRow, other: MethodRow, size: str, position: int) -> float | None:
    """Computes by how much one mean is better than another, to the digit that tables print."""
    first, second = (each.means[size][position].value for each in (row, other))
    if first is None or second is None:
        return None
    return measure.sign * (round(first, measure.spec.decimals) - round(second, measure.spec.decimals))
