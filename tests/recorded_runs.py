"""Runs folders with real plans, addresses and configurations, and with records whose numbers are made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records import IMAGES, PROVENANCE, cell_record, points, sha256

from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell, write_manifest
from learngene_bench.runs.store import Runs
from learngene_bench.schema.base import write
from learngene_bench.schema.cost import AncestorCost, CellCost, Cost, GeneCost
from learngene_bench.schema.provenance import Provenance
from learngene_bench.schema.record import AncestorRecord, CellRecord, Evaluation, GeneRecord, Tensors
from learngene_bench.schema.stage import CellConfig, Execution
from learngene_bench.schema.subject import CellDescription, PlannedCell
from learngene_bench.tasks.kinds.classification import Top1

ACCURACIES = {"he": 700, "wave": 1200}


@dataclass
class RecordedRuns:
    """A runs folder, and the plan behind it."""

    folder: Path
    plan: Plan

    @property
    def runs(self) -> Runs:
        return Runs(self.folder)

    def stages(self, kind: str) -> list[Stage]:
        return [stage for stage in self.plan.stages.values() if stage.kind == kind]

    def file(self, stage: Stage, name: str = "result.json") -> Path:
        return self.runs.stage_dir(stage).path / name

    def change(self, path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
        """Edits a JSON file in place."""
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))


def recorded(
    folder: Path,
    methods: str = "wave,he",
    *settings: str,
    seeds: int = 2,
    created: str = "2026-11-20T12:00:00Z",
    plugins: Sequence[Path] = (),
) -> RecordedRuns:
    """All that `lgbench run` leaves of two depths of the digits, except tensors and logs.

    Args:
        created: when the plan was made.
    """
    overrides = ["grid.depths=[4,6]", *settings]
    plan = make_plan(build_request(methods, "depth", "digits", seeds, overrides, Registry(plugins), False))
    return record_plan(folder, plan, created)


def record_plan(
    folder: Path, plan: Plan, created: str = "2026-11-20T12:00:00Z", right: Callable[[PlannedCell], int] | None = None
) -> RecordedRuns:
    """All that a run of this plan leaves, except tensors and logs.

    Args:
        right: number of the 1,440 images of a cell that are classified as they should be; None for some number.
    """
    made = RecordedRuns(folder, plan)
    manifest = write_manifest(plan, made.runs, list(PROVENANCE.command))
    made.change(manifest, lambda content: content.update(created=created))
    descriptions = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
    cells = {cell.address: cell for cell in plan.cells}
    for address, stage in plan.stages.items():
        execution = Execution(
            command=PROVENANCE.command,
            checkpoint_seconds=5.0,
            data=dict(plan.preset.data),
            description=descriptions.get(address),
        )
        stage_folder = made.runs.write_config(stage, execution)
        provenance = PROVENANCE.model_copy(update={"data": stage.config.data})
        if address in cells:
            count = (right or _right)(cells[address])
            write(stage_folder.result, _cell(stage, cells[address], descriptions[address], provenance, count))
        else:
            write(stage_folder.result, _input(stage, provenance))
    return made


def _right(cell: PlannedCell) -> int:
    return ACCURACIES.get(cell.method, 900) + int(cell.target["depth"] or 0) + 7 * cell.seed % 100


def _cell(
    stage: Stage, cell: PlannedCell, description: CellDescription, provenance: Provenance, right: int
) -> CellRecord:
    assert isinstance(stage.config, CellConfig)
    curve = points((0.0, 0, None, 100.0 * 144 / IMAGES), (5.0, 95, 1.25, 100.0 * right / IMAGES))
    spent = Cost(epochs=5.0, iterations=95, images=6080, flops=1e9, seconds=1.5 + cell.seed, parameters=1500)
    cost = CellCost(ancestors=spent, prepare=spent, initialize=spent, finetune=spent)
    about: dict[str, Any] = {"inputs": stage.inputs, "provenance": provenance, "split": stage.config.evaluation_split}
    return cell_record(cell, description, curve, cost=cost, **about)


def _input(stage: Stage, provenance: Provenance) -> AncestorRecord | GeneRecord:
    tensors = Tensors(sha256=sha256(f"tensors {stage.address}"), bytes=4096)
    head: dict[str, Any] = {
        "protocol": stage.config.protocol,
        "address": stage.address,
        "inputs": dict(stage.inputs),
        "provenance": provenance,
        "tensors": tensors,
    }
    if stage.kind == "gene":
        return GeneRecord(**head, curve={}, cost=GeneCost())
    return AncestorRecord(
        **head,
        metrics={"top1": 90.0},
        metric_specs={"top1": Top1.spec},
        primary_metric="top1",
        evaluation=Evaluation(split="validation", images=IMAGES),
        curve=(),
        cost=AncestorCost(train=Cost()),
        forward_flops=1e6,
    )
