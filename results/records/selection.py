"""Selects the cells of one table: those of all plans with the same protocol, setting, grid and axis.

A table is the union of such plans, so methods run on different days stand side by side. Plans of a sweep are no tables
by themselves: their trials are measured on validation images. The test cells of what is selected by them are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from learngene_bench.config.grid import Axis
from learngene_bench.results.records.grouping import TableCells, merged, row_key
from learngene_bench.results.records.sweeps import sweeps
from learngene_bench.results.records.types import Record, Results
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.subject import PlannedCell, Subject
from learngene_bench.util.errors import unknown

_GRIDS = {"depth": "depth", "width": "width", "task": "transfer", "horizon": "horizon", "share": "data-size"}
"""The shipped grid of each axis: where records come without a plan, theirs."""


def table_cells(results: Results) -> list[TableCells]:
    """One per protocol, setting, grid and axis, the oldest first, siblings right after what they are of."""
    every = _manifests(results)
    made = [*_ordinary(every), *(found.best(results) for found in sweeps(results.manifests))]

    def place(index: int) -> tuple[int, int]:
        """Puts a table after what it is of: each row at its best, then at equal budget."""
        base = _index(made, lambda other: made[index].is_equal_budget_of(other))
        budget = made[index if base is None else base]
        best = _index(made, budget.is_best_of)
        first = best if best is not None else index if base is None else base
        return first, 2 * (best is not None) + (base is not None)

    return [made[index] for index in sorted(range(len(made)), key=place)]


def planned_cells(results: Results) -> dict[str, PlannedCell]:
    """The cells of all tables that some plan asks for, by address: not those that a newer plan replaces."""
    tables = [*_ordinary(results.manifests), *(table for found in sweeps(results.manifests) for table in found.tables)]
    return {address: cell for table in tables for address, cell in table.planned.items()}


def _ordinary(manifests: Iterable[Manifest]) -> list[TableCells]:
    """Returns the tables of plans that are no part of a sweep."""
    together: dict[tuple[int, str, str, str], list[Manifest]] = {}
    for manifest in manifests:
        if manifest.sweep is None:
            key = manifest.protocol, manifest.setting, manifest.grid, manifest.axis
            together.setdefault(key, []).append(manifest)
    return [merged(found) for found in together.values()]


def _index(tables: Sequence[TableCells], fits: Callable[[TableCells], bool]) -> int | None:
    return next((number for number, table in enumerate(tables) if fits(table)), None)


def of_grid(results: Results, name: str) -> Results:
    """Keeps the results that plans of one grid ask for, and nothing else.

    Raises:
        UserError: there is no such plan.
    """
    every = _manifests(results)
    manifests = [manifest for manifest in every if manifest.grid == name]
    if not manifests:
        raise unknown("grid", name, {manifest.grid for manifest in every})
    return results.of_manifests(manifests)


def _manifests(results: Results) -> list[Manifest]:
    return [*_unplanned(results), *results.manifests]


def _unplanned(results: Results) -> list[Manifest]:
    """Records that no manifest asks for (someone sent only their cells) as manifests older than all others."""
    unplanned = [record for folder, record in results.records.items() if folder not in results.planned]
    groups: dict[tuple[int, str], list[Record]] = {}
    for record in sorted(unplanned, key=_reading_order):
        groups.setdefault((record.result.protocol, record.result.setting), []).append(record)
    return [_inferred_manifest(protocol, setting, records) for (protocol, setting), records in sorted(groups.items())]


def _inferred_manifest(protocol: int, setting: str, records: list[Record]) -> Manifest:
    """A plan that asks for these records of one setting."""
    axis = _varying_axis([record.cell for record in records])
    first = records[0].result
    return Manifest.model_construct(
        protocol=protocol,
        created="",
        command=(),
        preset=first.preset,
        grid=_GRIDS[axis],
        axis=axis,
        title="",
        setting=setting,
        setting_description=first.setting_description,
        equal_budget=first.equal_budget,
        cells=tuple(record.planned() for record in records),
        unsupported=(),
        methods=tuple(sorted({record.cell.method for record in records})),
        references=(),
        stages=(),
    )


def _reading_order(record: Record) -> tuple[object, ...]:
    """An order for people: addresses have none."""
    cell = record.cell
    return row_key(cell), cell.size, cell.task, cell.target["depth"], cell.seeds


def _varying_axis(subjects: Iterable[Subject]) -> Axis:
    """Guesses the axis of a grid of these subjects: horizon, share, task, else width at one depth, else depth."""
    subjects = list(subjects)
    axes: tuple[Axis, ...] = ("horizon", "share")
    for axis in axes:
        if len({subject.along(axis) for subject in subjects}) > 1:
            return axis
    if len({subject.task for subject in subjects}) > 1:
        return "task"
    depths = {subject.target["depth"] for subject in subjects}
    widths = {subject.target["width"] for subject in subjects}
    return "width" if len(depths) == 1 and len(widths) > 1 else "depth"
