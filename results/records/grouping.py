"""Groups the cells of plans into tables: by row, column and seed.

The cells of a table are repetitions that are independent. Of crossed seeds these are the cells with the same seed for
gene and target; the others share one of the two, and are kept apart, in `TableCells.crossed`.

Where two plans ask for different cells (another address) at the same place and seed, as after a change of a method,
the newer plan decides and the older one's cells at that place are left out: a mean never mixes two versions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        if name == "depth and width":
            width, depth = self.size_order
            return f"{depth} × {width}"
        return dict(self.target).get(name)


CellKey = tuple[RowKey, ColumnKey]


class SeedPair(NamedTuple):
    """Seeds that decide a run of a plan with crossed seeds; None for one that decides nothing."""

    gene: int | None
    target: int | None


@dataclass
class TableCells:
    """The cells of one table, by place and seed.

    Attributes:
        cells: independent repetitions.
        crossed: all cells of a plan with crossed seeds, of several plans of the largest.
        planned: all cells that the plans ask for, by address, but for those that are replaced.
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
    crossed: dict[CellKey, dict[SeedPair, PlannedCell]] = field(default_factory=dict)
    planned: dict[str, PlannedCell] = field(default_factory=dict)
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
    known: dict[CellKey, dict[tuple[int, int], PlannedCell]] = {}
    for manifest in reversed(manifests):
        genes = {stage.address: stage.inputs.get("gene") for stage in manifest.stages} if manifest.crossed else {}
        for place, cells in _by_place(manifest).items():
            held = known.setdefault(place, {})
            if any(seeds in held and held[seeds].address != cell.address for seeds, cell in cells.items()):
                closed.add(place)
            if place in closed:
                kept = {cell.address for cell in held.values()}
                grid.replaced.update({c.address: c for c in cells.values() if c.address not in kept})
                continue
            held.update(cells)
            grid.cells.setdefault(place, {}).update(_independent(manifest, cells))
            crossed = _crossed(manifest, cells, genes)
            if len(crossed) > len(grid.crossed.get(place, {})):
                grid.crossed[place] = crossed
        for dash in manifest.unsupported:
            grid.subjects.setdefault(row_key(dash), dash)
            grid.dashes.setdefault((row_key(dash), column_key(dash)), dash)
        for cell in manifest.cells:
            grid.subjects.setdefault(row_key(cell), cell)
    grid.planned = {cell.address: cell for cells in known.values() for cell in cells.values()}
    return grid


_BySeeds = Mapping[tuple[int, int], PlannedCell]


def _independent(manifest: Manifest, cells: _BySeeds) -> dict[int, PlannedCell]:
    """Returns by seed the cells that share neither gene nor target seed with another; as many for every method."""
    count = manifest.crossed.independent if manifest.crossed else math.inf
    return {cell.seed: cell for cell in cells.values() if cell.gene_seed is None and cell.seed < count}


def _crossed(manifest: Manifest, cells: _BySeeds, genes: Mapping[str, str | None]) -> dict[SeedPair, PlannedCell]:
    """Returns the cells of a method and target by the seeds that decide something; none where seeds are not crossed.

    Args:
        genes: address of the gene that each cell needs.
    """
    if any(cell.gene_seed is not None for cell in cells.values()):
        return {SeedPair(*seeds): cell for seeds, cell in cells.items()}
    if manifest.crossed is None:
        return {}
    # The planner leaves out copies: several genes without any crossing belong to models that are not fine-tuned.
    if len({genes.get(cell.address) for cell in cells.values()}) == len(cells) > 1:
        return {SeedPair(cell.seed, None): cell for cell in cells.values()}
    return {SeedPair(None, cell.seed): cell for cell in cells.values()}


def _by_place(manifest: Manifest) -> dict[CellKey, dict[tuple[int, int], PlannedCell]]:
    """Returns the cells of a plan by place, then by the seeds of gene and target."""
    places: dict[CellKey, dict[tuple[int, int], PlannedCell]] = {}
    for cell in manifest.cells:
        cells = places.setdefault((row_key(cell), column_key(cell)), {})
        known = cells.setdefault(cell.seeds, cell)
        if known.address != cell.address:
            raise DamagedFile(
                f"plans/{manifest.file_name} holds two cells of one measurement ({cell.method}, {cell.size}, "
                f"seed {cell.seed}), {known.folder} and {cell.folder}: move the outdated one away"
            )
    return places
