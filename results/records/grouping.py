"""Groups the cells of plans into tables: by row, column and seed.

Where two plans ask for different cells (another address) at the same place and seed, as after a change of a method,
the newer plan decides and the older one's cells at that place are left out: a mean never mixes two versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from learngene_bench.schema.base import Scalar
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.subject import EqualBudget, PlannedCell, Subject, UnsupportedSubject
from learngene_bench.schema.sweep import Sweep
from learngene_bench.util.errors import DamagedFile


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


@dataclass
class TableCells:
    """The cells of one table, by place and seed.

    Attributes:
        subjects: for each row, what its newest plan says of it.
        methods: order of the methods within their groups.
        references: names of the methods whose final results the others are to reach.
        replaced: the cells of older plans that are left out, by address.
        best_of: the sweep by which each row was selected in each column; None for plans without one.
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
    best_of: Sweep | None = None

    def is_equal_budget_of(self, other: TableCells) -> bool:
        """True if this is the other grid at equal budget."""
        mine = self.equal_budget and (self.protocol, self.name, self.axis, self.equal_budget.of)
        return mine == (other.protocol, other.name, other.axis, other.setting)

    def is_best_of(self, other: TableCells) -> bool:
        """True if this is the other grid with each row at the setting that is selected for it."""
        mine = self.best_of and (self.protocol, self.name, self.axis, self.best_of.of)
        return mine == (other.protocol, other.name, other.axis, other.setting)


def row_key(subject: Subject) -> RowKey:
    return RowKey(subject.method, subject.variant)


def column_key(subject: Subject) -> ColumnKey:
    target = tuple(sorted(subject.target.items()))
    return ColumnKey(subject.size, subject.task, target, subject.share, subject.horizon)


def merged(manifests: Sequence[Manifest]) -> TableCells:
    """Merges plans, from old to new, into the cells of one table."""
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
                f"seed {cell.seed}), {known.folder} and {cell.folder}: move the outdated one away"
            )
    return places
