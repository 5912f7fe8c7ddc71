"""A run is a plan first: cells, and the stages they need, each with an address. Torch is not imported.

    ancestor -> gene -> cell

The same address means the same result: a stage that several cells, methods or runs need is computed once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.config.grid import Grid
from learngene_bench.config.preset import Preset
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.seeds import CrossedSeeds
from learngene_bench.schema.stage import AncestorConfig, CellConfig, Config, TeacherConfig, stage_address
from learngene_bench.schema.subject import MethodVariant, PlannedCell, UnsupportedSubject
from learngene_bench.schema.sweep import Sweep

if TYPE_CHECKING:
    from learngene_bench.planning.tasks import Task


@dataclass(frozen=True)
class Stage:
    """One piece of work with a result of its own.

    Attributes:
        config: everything that decides the result, except the inputs.
        inputs: role to address of the stages it needs.
        flops: estimated floating-point operations; 0 where nobody can tell beforehand (a teacher's).
    """

    kind: StageKind
    label: str
    config: Config
    inputs: Mapping[str, str]
    flops: float = 0.0

    @cached_property
    def address(self) -> str:
        return stage_address(self.kind, self.config, self.inputs)

    @property
    def group(self) -> tuple[str, ...]:
        """Kind, method and width: stages of one group cost about the same."""
        config = self.config
        if isinstance(config, TeacherConfig):
            return self.kind, "", ""
        method = "" if isinstance(config, AncestorConfig) else config.method.name
        model = config.target if isinstance(config, CellConfig) else config.spec
        return self.kind, method, f"width{model['width']}"


@dataclass
class Plan:
    """The cells and stages of a run.

    Attributes:
        stages: by address, every stage after those it needs.
        setting: hash of all that cells share whatever their method and target: never mixed within a table.
        equal_budget_of: the setting with ordinary budgets, if this plan makes the budgets equal.
        equal_budget_images: the budget in training images; the largest, if sizes or tasks differ.
        files: where files of weights lie that stages are told apart by, by their SHA-256.
        tasks: the source task and those that targets are fine-tuned on.
        task_data: settings of the data that cells are fine-tuned on, by address, where these are not the source task's.
        rows: the row and the size of every method of the request on every target, in their order.
        sweep: the sweep that the plan is a part of.
        crossed: numbers of seeds, where every gene seed meets every target seed.
    """

    preset: Preset
    grid: Grid
    setting: str
    setting_description: str
    stages: dict[str, Stage] = field(default_factory=dict)
    cells: list[PlannedCell] = field(default_factory=list)
    unsupported: list[UnsupportedSubject] = field(default_factory=list)
    methods: list[MethodVariant] = field(default_factory=list)
    equal_budget_of: str | None = None
    equal_budget_images: int = 0
    files: dict[str, Path] = field(default_factory=dict)
    tasks: Sequence[Task] = ()
    task_data: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: list[tuple[MethodVariant, str]] = field(default_factory=list)
    sweep: Sweep | None = None
    crossed: CrossedSeeds | None = None

    def sizes(self) -> list[str]:
        """Returns the sizes that the plan has cells of, supported or not."""
        return list(dict.fromkeys([*(cell.size for cell in self.cells), *(cell.size for cell in self.unsupported)]))

    def restricted_to(self, cells: Collection[str]) -> Plan:
        """Returns a plan of some of the cells, by address, with the stages that they need."""
        needed = set(cells)
        for address, stage in reversed(self.stages.items()):  # a stage comes after those that it needs
            if address in needed:
                needed.update(stage.inputs.values())
        kept = [cell for cell in self.cells if cell.address in cells]
        stages = {address: stage for address, stage in self.stages.items() if address in needed}
        return replace(self, cells=kept, stages=stages, unsupported=[])
