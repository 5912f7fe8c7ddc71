"""Selects the cells of one table: those of all plans with the same protocol, setting, grid and axis.

A table is the union of such plans, so methods run on different days stand side by side. Where two plans ask for
different cells (another address) at the same place and seed, as after a change of a method, the newer plan decides
and the older one's cells at that place are left out: a mean never mixes two versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from learngene_bench.config.grid import Axis
from learngene_bench.results.records.types import Record, Results
from learngene_bench.schema.base import Scalar
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.subject import EqualBudget, PlannedCell, Subject, UnsupportedSubject
from learngene_bench.util.errors import DamagedFile, unknown


class RowKey(NamedTuple):
    method: str
    variant: str


class ColumnKey(NamedTuple):
    size: str
    task: str
    target: tuple[tuple[str, Scalar], ...]
    share: float = 100.0
    horizon: float = 1.0

    @property
    def size_order(self) -> tuple[int, int]:
        """Width and depth of the target."""
        facts = dict(self.target)
        return int(facts["width"] or 0), int(facts["depth"] or 0)

    @property
    def place(self) -> ColumnKey:
        """The target and task alone, fine-tuned on all images and for the usual length."""
        return self._replace(share=100.0, horizon=1.0)

    def fact(self, name: str) -> Scalar:
        """The task, how it is fine-tuned on it, or a number of the target; None if this target has no such number."""
        if name in ("task", "share", "horizon"):
            value: Scalar = getattr(self, name)
            return value
        return dict(self.target).get(name)


CellKey = tuple[RowKey, ColumnKey]

_GRIDS = {"depth": "depth", "width": "width", "task": "transfer", "horizon": "horizon", "share": "data-size"}
"""The shipped grid of each axis: where records come without a plan, theirs."""


@dataclass
class TableCells:
    """The cells of one table, by place and seed.

    Attributes:
        subjects: for each row, what its newest plan says of it.
        methods: order of the methods within their groups.
        references: names of the methods whose final results the others are to reach.
        replaced: the cells of older plans that are left out, by address.
    """

    protocol: int
    setting: str
    setting_description: str
    equal_budget: EqualBudget | None
    preset: str
    name: str
    axis: str
    methods: list[str]
    references: tuple[str, ...]
    subjects: dict[RowKey, Subject] = field(default_factory=dict)
    cells: dict[CellKey, dict[int, PlannedCell]] = field(default_factory=dict)
    dashes: dict[CellKey, UnsupportedSubject] = field(default_factory=dict)
    replaced: dict[str, PlannedCell] = field(default_factory=dict)

    def is_equal_budget_of(self, other: TableCells) -> bool:
        """True if this is the other grid at equal budget."""
        mine = self.equal_budget and (self.protocol, self.name, self.axis, self.equal_budget.of)
        return mine == (other.protocol, other.name, other.axis, other.setting)


def row_key(subject: Subject) -> RowKey:
    return RowKey(subject.method, subject.variant)


def column_key(subject: Subject) -> ColumnKey:
    target = tuple(sorted(subject.target.items()))
    return ColumnKey(subject.size, subject.task, target, subject.share, subject.horizon)


def table_cells(results: Results) -> list[TableCells]:
    """One per protocol, setting, grid and axis, the oldest first, siblings right after what they are of."""
    together: dict[tuple[int, str, str, str], list[Manifest]] = {}
    for manifest in _manifests(results):
        key = manifest.protocol, manifest.setting, manifest.grid, manifest.axis
        together.setdefault(key, []).append(manifest)
    made = [_merged(manifests) for manifests in together.values()]

    def place(index: int) -> tuple[int, bool]:
        base = next((number for number, other in enumerate(made) if made[index].is_equal_budget_of(other)), None)
        return (index, False) if base is None else (base, True)

    return [made[index] for index in sorted(range(len(made)), key=place)]


def planned_cells(results: Results) -> dict[str, PlannedCell]:
    """The cells of all tables that some plan asks for, by address: not those that a newer plan replaces."""
    return {
        cell.address: cell
        for grid in table_cells(results.of_manifests(results.manifests))
        for cells in grid.cells.values()
        for cell in cells.values()
    }


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


def _merged(manifests: list[Manifest]) -> TableCells:
    newest = manifests[-1]
    # The longest plan knows the order best: a later run of one method must not move it to the top.
    by_length = sorted(manifests, key=lambda manifest: -len(manifest.methods))
    grid = TableCells(
        protocol=newest.protocol,
        setting=newest.setting,
        setting_description=newest.setting_description,
        equal_budget=max(
            (manifest.equal_budget for manifest in manifests if manifest.equal_budget),
            key=lambda budget: budget.amount,
            default=None,
        ),
        preset=newest.preset,
        name=newest.grid,
        axis=newest.axis,
        methods=list(dict.fromkeys(method for manifest in by_length for method in manifest.methods)),
        references=next((manifest.references for manifest in reversed(manifests) if manifest.references), ()),
    )
    closed: set[CellKey] = set()
    for manifest in reversed(manifests):
        for place, cells in _by_place(manifest).items():
            held = grid.cells.setdefault(place, {})
            if any(seed in held and held[seed].address != cell.address for seed, cell in cells.items()):
                closed.add(place)
            if place in closed:
                kept = {cell.address for cell in held.values()}
                grid.replaced.update({c.address: c for c in cells.values() if c.address not in kept})
            else:
                held.update(cells)
        for dash in manifest.unsupported:
            grid.subjects.setdefault(row_key(dash), dash)
            grid.dashes.setdefault((row_key(dash), column_key(dash)), dash)
        for cell in manifest.cells:
            grid.subjects.setdefault(row_key(cell), cell)
    return grid


def _by_place(manifest: Manifest) -> dict[CellKey, dict[int, PlannedCell]]:
    places: dict[CellKey, dict[int, PlannedCell]] = {}
    for cell in manifest.cells:
        seeds = places.setdefault((row_key(cell), column_key(cell)), {})
        known = seeds.setdefault(cell.seed, cell)
        if known.address != cell.address:
            raise DamagedFile(
                f"plans/{manifest.file_name} holds two cells of one measurement ({cell.method}, {cell.size}, "
                f"seed {cell.seed}), {known.folder} and {cell.folder}: delete the outdated one"
            )
    return places


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
    return row_key(cell), cell.size, cell.task, cell.target["depth"], cell.seed


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
