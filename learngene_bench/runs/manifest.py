"""Manifests: what a run intended, so that a report knows what is missing and needs no plugin to say so."""

from __future__ import annotations

import os
from pathlib import Path

from learngene_bench.planning.plan import Cell, Plan
from learngene_bench.runs.store import Runs
from learngene_bench.schema.base import write
from learngene_bench.schema.manifest import Manifest, PlannedStage
from learngene_bench.schema.subject import (
    CellDescription,
    CellFacts,
    EqualBudget,
    Parameters,
    PlannedCell,
    UnsupportedSubject,
)
from learngene_bench.util import provenance
from learngene_bench.version import PROTOCOL


def planned_cell(cell: Cell, plan: Plan) -> PlannedCell:
    """Returns what a plan says of a cell, in words that a report groups by."""
    return PlannedCell(
        method=cell.method.name,
        version=cell.method.version,
        variant=cell.method.variant,
        title=cell.method.title,
        group=cell.method.group,
        size=cell.size,
        task=cell.task,
        source=plan.source,
        target=cell.target.as_dict(),
        seed=cell.seed,
        parameters=Parameters(stored=cell.stored_parameters, model=cell.target.parameter_count()),
        prepare_epochs=cell.prepare_epochs,
        address=cell.address,
    )


def describe_cell(cell: Cell, plan: Plan) -> CellDescription:
    """Returns what a cell's record says of it beside its numbers."""
    planned = planned_cell(cell, plan)
    return CellDescription(
        preset=plan.preset.name,
        setting=plan.setting,
        setting_description=plan.setting_description,
        equal_budget=_equal_budget(plan),
        cell=CellFacts(**{name: getattr(planned, name) for name in CellFacts.model_fields}),
    )


def _equal_budget(plan: Plan) -> EqualBudget | None:
    if plan.equal_budget_of is None:
        return None
    return EqualBudget(iterations=plan.equal_budget_iterations, of=plan.equal_budget_of)


def make_manifest(plan: Plan, command: list[str]) -> Manifest:
    """Returns what a run of this plan intends, started by this command in the current folder."""
    unsupported = [
        UnsupportedSubject(
            method=dash.method.name,
            version=dash.method.version,
            variant=dash.method.variant,
            title=dash.method.title,
            group=dash.method.group,
            size=dash.size,
            task=dash.task,
            source=plan.source,
            target=dash.target.as_dict(),
            reason=dash.reason,
        )
        for dash in plan.unsupported
    ]
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
        cells=tuple(planned_cell(cell, plan) for cell in plan.cells),
        unsupported=tuple(unsupported),
        methods=tuple(dict.fromkeys(row.name for row in plan.methods)),
        references=tuple(plan.grid.references),
        stages=tuple(stages),
        created=provenance.now(),
        command=tuple(command),
        folder=os.getcwd(),
    )


def write_manifest(plan: Plan, runs: Runs, command: list[str]) -> Path:
    """Writes what this run intends; the same intention overwrites itself."""
    manifest = make_manifest(plan, command)
    path = runs.root / "plans" / manifest.file_name
    write(path, manifest)
    return path


def read_manifests(runs: Runs) -> list[Manifest]:
    """Reads all manifests of a runs folder, oldest first."""
    return runs.manifests()
