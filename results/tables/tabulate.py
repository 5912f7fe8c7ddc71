"""Makes metric tables from results: which rows and columns, what stands in each entry, what is highlighted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from learngene_bench.config.lengths import doubts
from learngene_bench.config.preset import QUICK
from learngene_bench.results.records.grouping import CellKey, ColumnKey, RowKey, TableCells
from learngene_bench.results.records.selection import table_cells
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.columns import target_columns
from learngene_bench.results.tables.equal_budget import at_equal_budget, repeats, size_means
from learngene_bench.results.tables.highlight import highlighted
from learngene_bench.results.tables.lengths import Length, length_of
from learngene_bench.results.tables.measure import Measure, find_measure, measure_names
from learngene_bench.results.tables.metric_table import (
    Entry,
    EntryState,
    MethodRow,
    MetricTable,
    SizeCosts,
)
from learngene_bench.results.tables.report_table import Footnotes
from learngene_bench.schema.constants import GROUPS
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.record import CellResult, Failure
from learngene_bench.schema.rerun import Rerun
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.errors import unknown


def make_tables(results: Results, metric: str | None = None, initial: bool = False) -> list[MetricTable]:
    """Makes one table per protocol, setting, grid and axis that has the metric, the oldest first.

    Equal-budget siblings stand right after the table that they belong to. As initialized, a sibling that would only
    repeat numbers is left out.

    Args:
        results: what `load` read.
        metric: name of a metric, or of its value before fine-tuning ("top1_initial"); None for the primary metric of
            each grid.
        initial: True for the values before fine-tuning, where the name does not say so.

    Raises:
        UserError: no record has this metric.
    """
    names = measure_names(results.records.values())
    if metric is not None and names and metric not in names:
        raise unknown("metric", metric, names)
    every = table_cells(results)
    made = [table for grid in every if (table := _make(grid, every, results, metric, initial))]
    return [table for table in made if not (table.measure.initial and repeats(table, made))]


def panels(results: Results) -> list[tuple[MetricTable, MetricTable]]:
    """Makes every table of primary metrics after fine-tuning, each with the one of the same cells as initialized."""
    every = table_cells(results)
    made = [[_make(grid, every, results, None, initial) for initial in (False, True)] for grid in every]
    return [(after, before) for after, before in made if after and before]


def _make(
    grid: TableCells, every: Sequence[TableCells], results: Results, metric: str | None, initial: bool
) -> MetricTable | None:
    """The table of a grid; None if its records do not have the metric."""
    found = [results.records.get(cell.folder) for cells in grid.cells.values() for cell in cells.values()]
    records = [record for record in found if record]
    measure = find_measure(records or results.records.values(), metric, initial)
    if measure is None:
        return None
    siblings = [] if measure.initial else [other for other in every if other.is_equal_budget_of(grid)]
    siblings.sort(key=lambda sibling: sibling.equal_budget.amount if sibling.equal_budget else 0)
    columns = target_columns(grid)
    labels = {column.key: column.label for column in columns}
    footnotes = Footnotes()
    quick = grid.preset.endswith(QUICK)  # it is short on purpose
    budget = [grid.equal_budget] if grid.equal_budget else []
    best = [f"each method at its best of {grid.best_of.trials} trials"] if grid.best_of else []
    rows = [_row(grid, siblings, key, labels, results, measure, footnotes) for key in _ordered_rows(grid)]
    return MetricTable(
        title=", ".join([measure.title, _along(grid), *best, *map(at_equal_budget, budget)]),
        measure=measure,
        source=grid,
        budgets=tuple(sibling.equal_budget for sibling in siblings if sibling.equal_budget),
        columns=columns,
        rows=highlighted(rows, measure),
        other_protocols=tuple(sorted({other.protocol for other in every} - {grid.protocol})),
        test_images=tuple(sorted({record.result.evaluation.images for record in records})),
        measured_how=_measured_how(record.result for record in records),
        replaced=sum(cell.folder in results.records for cell in grid.replaced.values()),
        footnotes=footnotes.texts,
        lengths=_lengths(grid, results),
        doubts=() if quick else tuple(dict.fromkeys(doubt for record in records for doubt in _doubts(record))),
    )


def _lengths(grid: TableCells, results: Results) -> dict[CellKey, Length]:
    """Reads how long targets were fine-tuned, by row and column."""
    found = {
        place: length_of(record for cell in cells.values() if (record := results.records.get(cell.folder)))
        for place, cells in grid.cells.items()
    }
    return {place: length for place, length in found.items() if length}


def _doubts(record: Record) -> list[str]:
    """Says what makes no sense about how long a target was fine-tuned."""
    finetune, cell = record.cost["finetune"], record.cell
    batch = finetune.images / max(1, finetune.iterations)
    return doubts(cell.task, finetune.iterations, batch, {cell.title: record.cost["initialize"].images})


def _measured_how(records: Iterable[CellResult]) -> dict[str, tuple[str, ...]]:
    """Collects how images were looked at, with the tasks of which each is said."""
    found: dict[str, set[str]] = {}
    for record in records:
        if record.evaluation.how:
            found.setdefault(record.evaluation.how, set()).add(record.cell.task)
    return {how: tuple(sorted(tasks)) for how, tasks in sorted(found.items())}


def _along(grid: TableCells) -> str:
    """Names what the columns differ in; and the grid, where that is not its name."""
    return f"by {grid.axis}" if grid.name == grid.axis else f"by {grid.axis} (grid {grid.name})"


def _row(
    grid: TableCells,
    siblings: Sequence[TableCells],
    key: RowKey,
    labels: Mapping[ColumnKey, str],
    results: Results,
    measure: Measure,
    footnotes: Footnotes,
) -> MethodRow:
    entries = tuple(_entry(grid, (key, column), results, measure, footnotes) for column in labels)
    planned: dict[str, list[PlannedCell]] = {column.size: [] for column in labels}
    by_size: dict[str, dict[ColumnKey, str]] = {column.size: {} for column in labels}
    for column, label in labels.items():
        by_size[column.size][column] = label
        planned[column.size] += grid.cells.get((key, column), {}).values()
    epochs = {cell.prepare_epochs for cells in planned.values() for cell in cells}
    return MethodRow(
        group=grid.subjects[key].group,
        method=key.method,
        variant=key.variant,
        label=_row_label(grid, key),
        prepare_epochs=tuple(sorted(value for value in epochs if value is not None)),
        costs={size: _costs(cells, results) for size, cells in planned.items()},
        entries=entries,
        means={
            size: size_means(grid, siblings, key, columns, results, measure, footnotes.number)
            for size, columns in by_size.items()
            if siblings or grid.axis == "task"
        },
        reruns={size: _reruns(cells, results) for size, cells in planned.items()},
    )


def _reruns(cells: Iterable[PlannedCell], results: Results) -> tuple[Rerun, ...]:
    return tuple(line for cell in cells for line in results.reruns.get(cell.folder, ()))


def _entry(grid: TableCells, place: CellKey, results: Results, measure: Measure, footnotes: Footnotes) -> Entry:
    cells = grid.cells.get(place)
    if not cells:
        dash = grid.dashes.get(place)
        return Entry("dash", {}, 0, footnotes=(footnotes.number(dash.reason),)) if dash else Entry("not planned", {}, 0)
    values: dict[int, float] = {}
    errors: list[str] = []
    for seed, cell in sorted(cells.items()):
        outcome = results.outcome(cell)
        if isinstance(outcome, Failure):
            errors.append(f"failed: {outcome.error}")
        elif outcome:
            value = outcome.metrics.get(measure.name)
            if value is not None and measure.usable(value):
                values[seed] = value
            else:
                errors.append(f"{measure.name} is {value}, which is not a valid value")
    state: EntryState = "done" if len(values) == len(cells) else "incomplete"
    if not values:
        state = "failed" if errors else "pending"
    numbers = tuple(dict.fromkeys(footnotes.number(error) for error in errors))
    return Entry(state, values, len(cells), footnotes=numbers)


def _costs(cells: Sequence[PlannedCell], results: Results) -> SizeCosts:
    records = [record for cell in cells if isinstance(record := results.outcome(cell), Record)]
    complete = bool(cells) and len(records) == len(cells)
    spent = [record.cost["initialize"] for record in records]
    flops = [record.cost["initialize"].flops + record.cost["finetune"].flops for record in records]
    return SizeCosts(
        stored_parameters=mean([cell.parameters.stored for cell in cells]) if cells else None,
        initialize_iterations=mean([cost.iterations for cost in spent]) if complete else None,
        initialize_parameters=_counted(spent) if complete else None,
        initialize_images=mean([cost.images for cost in spent]) if complete else None,
        target_flops=mean(flops) if complete else None,
        done=len(records),
        expected=len(cells),
    )


def _counted(costs: Sequence[Cost]) -> tuple[int, ...] | None:
    """Counts of trained numbers, ascending; None unless every record tells it."""
    counts = [cost.counted_parameters for cost in costs]
    known = [count for count in counts if count is not None]
    return tuple(sorted(known)) if len(known) == len(counts) else None


def _ordered_rows(grid: TableCells) -> list[RowKey]:
    """Rows by group, then by method as planned, then the default options before the others."""
    methods = {method: position for position, method in enumerate(grid.methods)}

    def order(key: RowKey) -> tuple[int, int, str]:
        return GROUPS.index(grid.subjects[key].group), methods.get(key.method, len(methods)), key.variant

    return sorted(grid.subjects, key=order)


def _row_label(grid: TableCells, key: RowKey) -> str:
    """The title with the options that are not the defaults; two methods of one title get their names as well."""
    title = grid.subjects[key].title
    namesakes = {other.method for other, subject in grid.subjects.items() if subject.title == title}
    details = ", ".join(filter(None, [key.method if len(namesakes) > 1 else "", key.variant]))
    return f"{title} ({details})" if details else title
