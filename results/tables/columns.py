"""Orders and labels the columns of a metric table."""

from __future__ import annotations

from collections.abc import Sequence

from learngene_bench.results.records.grouping import ColumnKey, TableCells
from learngene_bench.results.tables.metric_table import WAYS, TargetColumn
from learngene_bench.results.tables.numbers import way


def target_columns(grid: TableCells) -> tuple[TargetColumn, ...]:
    """Returns the columns: sizes from narrow to wide, and within them the axis' values.

    Numbers ascend, tasks come as planned. Of targets that are fine-tuned in several ways, one comes after the other.
    """
    keys = list(dict.fromkeys(column for _, column in [*grid.cells, *grid.dashes]))
    tasks = {task: position for position, task in enumerate(dict.fromkeys(column.task for column in keys))}
    smallest: dict[str, tuple[int, int]] = {}
    for key in keys:
        smallest[key.size] = min(smallest.get(key.size, key.size_order), key.size_order)

    def order(key: ColumnKey) -> tuple[object, ...]:
        value: object = tasks[key.task] if grid.axis == "task" else key.fact(grid.axis)
        if grid.axis == "depth and width":
            value = key.size_order
        first = (tasks[key.task], key.size_order) if grid.axis in WAYS else ()
        return smallest[key.size], key.size, *first, value, tasks[key.task]

    keys.sort(key=order)
    if grid.axis in WAYS:
        return tuple(_way(grid.axis, key, keys) for key in keys)
    span = "" if grid.axis == "task" else grid.axis
    return tuple(TargetColumn(key, _label(grid.axis, key, keys), span) for key in keys)


def _way(axis: str, key: ColumnKey, keys: Sequence[ColumnKey]) -> TargetColumn:
    """Labels a column by how the target is fine-tuned, after the target if a size has several."""
    others = [other for other in keys if other.size == key.size]
    task = [key.task] if len({other.task for other in others}) > 1 else []
    alike = [other for other in others if other.task == key.task]
    names = [name for name, value in key.target if any(other.fact(name) != value for other in alike)]
    target = " ".join([*task, *(f"{name} {key.fact(name)}" for name in names)])
    return TargetColumn(key, f"{target} {way(axis, key.fact(axis))}".lstrip(), target or axis)


def _label(axis: str, key: ColumnKey, keys: Sequence[ColumnKey]) -> str:
    """Labels a column by its value on the axis; columns of a size that share it also by what else differs."""
    namesakes = [other for other in keys if (other.size, other.fact(axis)) == (key.size, key.fact(axis))]
    names = dict.fromkeys(["task", *(name for other in namesakes for name, _ in other.target)])
    different = [name for name in names if len({other.fact(name) for other in namesakes}) > 1]
    details = ", ".join(f"{name} {key.fact(name)}" for name in different)
    return f"{key.fact(axis)} ({details})" if details else str(key.fact(axis))
