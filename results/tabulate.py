"""From results to tables: which rows and columns, what stands in each entry, which entries are marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from learngene_bench.errors import unknown
from learngene_bench.results.budget import means, repeats
from learngene_bench.results.records import GROUPS, METRICS, Cell, Failure, Record, Results
from learngene_bench.results.selection import ColumnKey, Grid, Place, RowKey, grids
from learngene_bench.results.statistics import mean
from learngene_bench.results.table import Column, Costs, Entry, Row, State, Table
from learngene_bench.results.wording import at_equal_budget, printed

_METRIC_TITLES = {
    "top1": "Top-1 accuracy (%) after tuning",
    "top1_initial": "Top-1 accuracy (%) as initialized, before any ordinary training",
}
assert tuple(_METRIC_TITLES) == METRICS

_FOOTNOTE_LENGTH = 200


def tables(results: Results, metric: str = "top1") -> list[Table]:
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
    made = []
    for grid in every:
        siblings = [other for other in every if other.is_sibling_of(grid)] if metric == "top1" else []
        siblings.sort(key=lambda sibling: sibling.iterations)
        made.append(_table(grid, siblings, results, metric))
    return made


def _table(grid: Grid, siblings: Sequence[Grid], results: Results, metric: str) -> Table:
    keys = _ordered_columns(grid)
    labels = _labels(grid, keys)
    names = _row_labels(grid)
    sizes: dict[str, dict[ColumnKey, str]] = {}
    for column, label in zip(keys, labels, strict=True):
        sizes.setdefault(column.size, {})[column] = label
    footnotes = _Footnotes()
    rows = []
    for key in _ordered_rows(grid):
        entries = [_entry(grid, (key, column), results, metric, footnotes) for column in keys]
        rows.append(
            Row(
                group=grid.subjects[key].group,
                method=key.method,
                variant=key.variant,
                label=names[key],
                prepare_epochs=_prepare_epochs(grid, key),
                costs={size: _costs(_cells(grid, key, size), results) for size in sizes},
                entries=tuple(entries),
                means={
                    size: means(grid, siblings, key, columns, results, footnotes.number)
                    for size, columns in sizes.items()
                    if siblings
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
        rows=_marked(rows),
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
        elif outcome and math.isfinite(outcome.metrics[metric]):
            values[seed] = outcome.metrics[metric]
        elif outcome:
            troubles.append(f"{metric} is {outcome.metrics[metric]}, which is no accuracy")
    state: State = "done" if len(values) == len(cells) else "incomplete"
    if not values:
        state = "failed" if troubles else "pending"
    numbers = tuple(dict.fromkeys(footnotes.number(trouble) for trouble in troubles))
    return Entry(state, values, len(cells), footnotes=numbers)


def _cells(grid: Grid, row: RowKey, size: str) -> list[Cell]:
    return [
        cell
        for (key, column), cells in grid.cells.items()
        if key == row and column.size == size
        for cell in cells.values()
    ]


def _costs(cells: Sequence[Cell], results: Results) -> Costs:
    records = [record for cell in cells if isinstance(record := results.outcome(cell), Record)]
    complete = bool(cells) and len(records) == len(cells)
    spent = [record.cost["initialize"] for record in records]
    return Costs(
        stored_parameters=mean([cell.stored_parameters for cell in cells]) if cells else None,
        initialize_iterations=mean([cost.iterations for cost in spent]) if complete else None,
        initialize_seconds=mean([cost.seconds for cost in spent]) if complete else None,
        done=len(records),
        expected=len(cells),
    )


def _prepare_epochs(grid: Grid, row: RowKey) -> tuple[float, ...]:
    epochs = {cell.prepare_epochs for (key, _), cells in grid.cells.items() if key == row for cell in cells.values()}
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
    tasks = list(dict.fromkeys(column.task for column in keys))

    def extent(key: ColumnKey) -> tuple[object, ...]:
        return key.fact("width"), key.fact("depth")

    smallest = {key.size: min(extent(other) for other in keys if other.size == key.size) for key in keys}

    def order(key: ColumnKey) -> tuple[object, ...]:
        value = tasks.index(key.task) if grid.axis == "task" else key.fact(grid.axis)
        return smallest[key.size], key.size, value, tasks.index(key.task), keys.index(key)

    return sorted(keys, key=order)


def _labels(grid: Grid, keys: Sequence[ColumnKey]) -> list[str]:
    """Each column's value on the axis; columns that share it within a size also say what else tells them apart."""
    labels = []
    for key in keys:
        label = str(key.fact(grid.axis))
        namesakes = [other for other in keys if other.size == key.size and str(other.fact(grid.axis)) == label]
        if len(namesakes) > 1:
            names = dict.fromkeys(["task", *(name for other in namesakes for name in dict(other.target))])
            different = [name for name in names if len({other.fact(name) for other in namesakes}) > 1]
            label += " (" + ", ".join(f"{name} {key.fact(name)}" for name in different) + ")"
        labels.append(label)
    return labels


def _marked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with the best and the second of each column marked.

    Only a column in which every planned entry is done is marked: what is missing might be the best. Rows of the group
    pre-training are a reference that trains longer and take no mark. Means that print alike share the mark of the best,
    and leave no second. The second is marked among three or more, since among two it would be the worst.
    """
    marked = [list(row.entries) for row in rows]
    for index in range(len(rows[0].entries) if rows else 0):
        column = [row.entries[index] for row in rows if row.group != "pre-training"]
        if any(entry.state in ("incomplete", "failed", "pending") for entry in column):
            continue
        means = sorted((printed(entry.mean) for entry in column if entry.mean is not None), key=float, reverse=True)
        if len(means) < 2:
            continue
        second = means[1] if len(means) > 2 and means[1] != means[0] else None
        for row, entries in zip(rows, marked, strict=True):
            entry = entries[index]
            if entry.mean is None or row.group == "pre-training":
                continue
            if printed(entry.mean) == means[0]:
                entries[index] = replace(entry, mark="best")
            elif printed(entry.mean) == second:
                entries[index] = replace(entry, mark="second")
    return tuple(replace(row, entries=tuple(entries)) for row, entries in zip(rows, marked, strict=True))
