"""From results to tables: which rows and columns, what stands in each entry, which entries are marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from learngene_bench.results.records.selection import ColumnKey, Grid, Place, RowKey, grids
from learngene_bench.results.records.types import METRICS, Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.budget import means, repeats
from learngene_bench.results.tables.marks import marked
from learngene_bench.results.tables.table import Column, Costs, Entry, Row, State, Table
from learngene_bench.results.tables.wording import at_equal_budget
from learngene_bench.schema.constants import GROUPS
from learngene_bench.schema.record import Failure
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.errors import unknown

_METRIC_TITLES = {
    "top1": "Top-1 accuracy (%) after tuning",
    "top1_initial": "Top-1 accuracy (%) as initialized, before any ordinary training",
}
assert tuple(_METRIC_TITLES) == METRICS

_FOOTNOTE_LENGTH = 200


def make_tables(results: Results, metric: str = "top1") -> list[Table]:
    """One per protocol, setting, grid and axis, the oldest first, equal-budget siblings right after what they are of.

    Those would repeat their numbers as initialized, which no tuning has touched: then they are left out.

    Args:
        results: what `load` read.
        metric: "top1" (after tuning) or "top1_initial" (what initialization alone gives).

    Raises:
        UserError: an unknown metric.
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    made = _tables(results, metric)
    return made if metric == "top1" else [table for table in made if not repeats(table, made)]


def panels(results: Results) -> list[tuple[Table, Table]]:
    """Every table after tuning with the same as initialized."""
    return list(zip(_tables(results, "top1"), _tables(results, "top1_initial"), strict=True))


def _tables(results: Results, metric: str) -> list[Table]:
    every = grids(results)
    protocols = {grid.protocol for grid in every}
    made = []
    for grid in every:
        siblings = [other for other in every if other.is_sibling_of(grid)] if metric == "top1" else []
        siblings.sort(key=lambda sibling: sibling.iterations)
        made.append(_table(grid, siblings, protocols - {grid.protocol}, results, metric))
    return made


def _table(
    grid: Grid, siblings: Sequence[Grid], other_protocols: Iterable[int], results: Results, metric: str
) -> Table:
    keys = _ordered_columns(grid)
    labels = _labels(grid, keys)
    names = _row_labels(grid)
    sizes: dict[str, dict[ColumnKey, str]] = {}
    for column, label in zip(keys, labels, strict=True):
        sizes.setdefault(column.size, {})[column] = label
    footnotes = _Footnotes()
    planned = _planned(grid)
    rows = []
    for key in _ordered_rows(grid):
        entries = [_entry(grid, (key, column), results, metric, footnotes) for column in keys]
        rows.append(
            Row(
                group=grid.subjects[key].group,
                method=key.method,
                variant=key.variant,
                label=names[key],
                prepare_epochs=_prepare_epochs(planned.get(key, {})),
                costs={size: _costs(planned.get(key, {}).get(size, []), results) for size in sizes},
                entries=tuple(entries),
                means={
                    size: means(grid, siblings, key, columns, results, metric, footnotes.number)
                    for size, columns in sizes.items()
                    if siblings or grid.axis == "task"
                },
            )
        )
    budget = [grid.equal_budget] if grid.equal_budget else []
    records = [results.records.get(cell.folder) for cells in grid.cells.values() for cell in cells.values()]
    return Table(
        title=", ".join([_METRIC_TITLES[metric], _along(grid), *map(at_equal_budget, budget)]),
        metric=metric,
        grid=grid.name,
        axis=grid.axis,
        preset=grid.preset,
        setting=grid.setting,
        setting_description=grid.setting_description,
        protocol=grid.protocol,
        equal_budget=grid.equal_budget,
        budgets=tuple(sibling.iterations for sibling in siblings),
        columns=tuple(
            Column(key.size, label, key.task, dict(key.target)) for key, label in zip(keys, labels, strict=True)
        ),
        rows=marked(rows),
        other_protocols=tuple(sorted(other_protocols)),
        test_images=tuple(sorted({record.test_images for record in records if record})),
        superseded=sum(cell.folder in results.records for cell in grid.superseded.values()),
        footnotes=tuple(footnotes.numbers),
    )


def _along(grid: Grid) -> str:
    """What the columns differ in; the grid's name says more where it is another."""
    return f"by {grid.axis}" if grid.name == grid.axis else f"by {grid.axis} (grid {grid.name})"


class _Footnotes:
    """Footnote texts in the order in which a reader meets them, each once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        if len(text) > _FOOTNOTE_LENGTH:
            text = f"{text[:_FOOTNOTE_LENGTH]}..."
        return self.numbers.setdefault(text, len(self.numbers) + 1)


def _entry(grid: Grid, place: Place, results: Results, metric: str, footnotes: _Footnotes) -> Entry:
    cells = grid.cells.get(place)
    if not cells:
        dash = grid.dashes.get(place)
        return Entry("dash", {}, 0, footnotes=(footnotes.number(dash.reason),)) if dash else Entry("not planned", {}, 0)
    values: dict[int, float] = {}
    troubles: list[str] = []
    for seed, cell in sorted(cells.items()):
        outcome = results.outcome(cell)
        if isinstance(outcome, Failure):
            troubles.append(f"failed: {outcome.error}")
        elif outcome and (value := outcome.measured(metric)) is not None:
            values[seed] = value
        elif outcome:
            troubles.append(f"{metric} is {outcome.metrics.get(metric, 'not measured')}, which it cannot be")
    state: State = "done" if len(values) == len(cells) else "incomplete"
    if not values:
        state = "failed" if troubles else "pending"
    numbers = tuple(dict.fromkeys(footnotes.number(trouble) for trouble in troubles))
    return Entry(state, values, len(cells), footnotes=numbers)


def _planned(grid: Grid) -> dict[RowKey, dict[str, list[PlannedCell]]]:
    """The cells by row and size."""
    planned: dict[RowKey, dict[str, list[PlannedCell]]] = {}
    for (row, column), cells in grid.cells.items():
        planned.setdefault(row, {}).setdefault(column.size, []).extend(cells.values())
    return planned


def _costs(cells: Sequence[PlannedCell], results: Results) -> Costs:
    records = [record for cell in cells if isinstance(record := results.outcome(cell), Record)]
    complete = bool(cells) and len(records) == len(cells)
    spent = [record.cost["initialize"] for record in records]
    return Costs(
        stored_parameters=mean([cell.parameters.stored for cell in cells]) if cells else None,
        initialize_iterations=mean([cost.iterations for cost in spent]) if complete else None,
        initialize_seconds=mean([cost.seconds for cost in spent]) if complete else None,
        done=len(records),
        expected=len(cells),
    )


def _prepare_epochs(planned: Mapping[str, Iterable[PlannedCell]]) -> tuple[float, ...]:
    epochs = {cell.prepare_epochs for cells in planned.values() for cell in cells}
    return tuple(sorted(value for value in epochs if value is not None))


def _ordered_rows(grid: Grid) -> list[RowKey]:
    """By group in the paper's order, then by method as planned, then the default options before the others."""
    methods = {method: position for position, method in enumerate(grid.methods)}

    def order(key: RowKey) -> tuple[int, int, str]:
        return GROUPS.index(grid.subjects[key].group), methods.get(key.method, len(methods)), key.variant

    return sorted(grid.subjects, key=order)


def _row_labels(grid: Grid) -> dict[RowKey, str]:
    """Titles with the options that are not the defaults; two methods of one title get their names as well."""
    methods_by_title: dict[str, set[str]] = {}
    for key, subject in grid.subjects.items():
        methods_by_title.setdefault(subject.title, set()).add(key.method)
    labels = {}
    for key, subject in grid.subjects.items():
        method = key.method if len(methods_by_title[subject.title]) > 1 else ""
        details = ", ".join(filter(None, [method, key.variant]))
        labels[key] = f"{subject.title} ({details})" if details else subject.title
    return labels


def _ordered_columns(grid: Grid) -> list[ColumnKey]:
    """Sizes from narrow to wide, and within them the axis' values: numbers ascending, tasks as planned."""
    keys = list(dict.fromkeys(column for _, column in [*grid.cells, *grid.dashes]))
    tasks = {task: position for position, task in enumerate(dict.fromkeys(column.task for column in keys))}
    smallest: dict[str, tuple[int, int]] = {}
    for key in keys:
        smallest[key.size] = min(smallest.get(key.size, key.extent), key.extent)

    def order(key: ColumnKey) -> tuple[object, ...]:
        value = tasks[key.task] if grid.axis == "task" else key.fact(grid.axis)
        return smallest[key.size], key.size, value, tasks[key.task]

    return sorted(keys, key=order)


def _labels(grid: Grid, keys: Sequence[ColumnKey]) -> list[str]:
    """Each column's value on the axis; columns that share it within a size also say what else tells them apart."""
    namesakes: dict[tuple[str, str], list[ColumnKey]] = {}
    for key in keys:
        namesakes.setdefault((key.size, str(key.fact(grid.axis))), []).append(key)
    labels: dict[ColumnKey, str] = {}
    for (_, label), alike in namesakes.items():
        names = dict.fromkeys(["task", *(name for key in alike for name, _ in key.target)])
        different = [name for name in names if len({key.fact(name) for key in alike}) > 1]
        for key in alike:
            details = ", ".join(f"{name} {key.fact(name)}" for name in different)
            labels[key] = f"{label} ({details})" if details else label
    return [labels[key] for key in keys]
