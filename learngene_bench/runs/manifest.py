"""Manifests: what a run intended, so that a report knows what is missing and needs no plugin to say so."""

from __future__ import annotations

import os
from pathlib import Path

from learngene_bench.planning.plan import Plan
from learngene_bench.runs.store import Runs
from learngene_bench.schema.base import write
from learngene_bench.schema.manifest import Manifest, PlannedStage
from learngene_bench.schema.stage import CellConfig
from learngene_bench.schema.subject import CellDescription, CellFacts, EqualBudget, PlannedCell
from learngene_bench.util import provenance
from learngene_bench.version import PROTOCOL


def describe_cell(cell: PlannedCell, plan: Plan) -> CellDescription:
    """Returns what a cell's record says of it beside its numbers.

    A model that is not fine-tuned is the same cell at every horizon, and its record is that of the first.
    """
    config = plan.stages[cell.address].config
    if isinstance(config, CellConfig) and config.finetuning is None:
        cell = cell.model_copy(update={"horizon": 1.0})
    return CellDescription(
        preset=plan.preset.name,
        setting=plan.setting,
        setting_description=plan.setting_description,
        equal_budget=_equal_budget(plan),
        cell=CellFacts(**{name: getattr(cell, name) for name in CellFacts.model_fields}),
    )


def _equal_budget(plan: Plan) -> EqualBudget | None:
    if plan.equal_budget_of is None:
        return None
    return EqualBudget(images=plan.equal_budget_images, of=plan.equal_budget_of)


def make_manifest(plan: Plan, command: list[str]) -> Manifest:
    """Returns what a run of this plan intends, started by this command in the current folder."""
    stages = [
        PlannedStage(
            address=stage.address, kind=stage.kind, label=stage.label, inputs=dict(stage.inputs), flops=stage.flops
        )
        for stage in plan.stages.values()
    ]
    return Manifest(
        protocol=PROTOCOL,
        preset=plan.preset.name,
        grid=plan.grid.name,
        axis=plan.grid.axis,
        title=plan.grid.title,
        setting=plan.setting,
        setting_description=plan.setting_description,
        equal_budget=_equal_budget(plan),
        cells=tuple(plan.cells),
        unsupported=tuple(plan.unsupported),
        methods=tuple(dict.fromkeys(row.method for row in plan.methods)),
        references=tuple(plan.grid.references),
        stages=tuple(stages),
        created=provenance.now(),
        command=tuple(command),
        folder=os.getcwd(),
        sweep=plan.sweep,
        crossed=plan.crossed,
    )


def write_manifest(plan: Plan, runs: Runs, command: list[str]) -> Path:
    """Writes what this run intends; the same intention overwrites itself."""
    manifest = make_manifest(plan, command)
    path = runs.root / "plans" / manifest.file_name
    write(path, manifest)
    return path
