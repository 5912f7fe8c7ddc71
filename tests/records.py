"""Builds documents of finished stages without running anything: the one builder of records in tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from learngene_bench.schema.cost import CellCost, Cost
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.provenance import Git, Provenance
from learngene_bench.schema.record import CellRecord, Evaluation, FinetunedModel, InitialWeights
from learngene_bench.schema.subject import CellDescription, CellFacts, PlannedCell
from learngene_bench.tasks.kinds.classification import Top1
from learngene_bench.version import PROTOCOL

IMAGES = 1440
DATA = {"name": "digits", "canvas": 12, "fingerprint": "digits of a test"}
PROVENANCE = Provenance(
    command=("lgbench", "run", "--grid", "depth"),
    versions={"python": "3.11.7", "learngene-bench": "0.1.0", "torch": "2.15.0", "timm": "1.0.31"},
    hardware={
        "device": "cpu",
        "accelerator": None,
        "cpu": "a | <processor>",
        "cores": 2,
        "threads": 1,
        "system": "Linux x86_64",
    },
    git=Git(commit="c0ffee" * 6 + "c0ff", dirty=False),
    started="2026-11-20T12:00:00Z",
    finished="2026-11-20T12:00:07Z",
    data=DATA,
)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def points(*curve: tuple[float, int, float | None, float]) -> tuple[CurvePoint, ...]:
    """A learning curve of (epoch, iterations, loss, top-1)."""
    return tuple(
        CurvePoint(epoch=epoch, iterations=iterations, loss=loss, metrics={"top1": top1})
        for epoch, iterations, loss, top1 in curve
    )


def cell_record(
    planned: PlannedCell,
    description: CellDescription,
    curve: Sequence[CurvePoint],
    *,
    cost: CellCost | None = None,
    inputs: Mapping[str, str] | None = None,
    provenance: Provenance = PROVENANCE,
    split: str = "test",
    images: int = IMAGES,
) -> CellRecord:
    """The record of a cell with this learning curve, the hashes in it made up."""
    assert curve[0].metrics
    assert curve[-1].metrics
    return CellRecord(
        protocol=PROTOCOL,
        address=planned.address,
        inputs=dict(inputs or {}),
        **{name: getattr(description, name) for name in CellDescription.model_fields},
        metrics=curve[-1].metrics,
        initial_metrics=curve[0].metrics,
        metric_specs={"top1": Top1.spec},
        primary_metric="top1",
        evaluation=Evaluation(split=split, images=images),  # type: ignore[arg-type]
        curve=tuple(curve),
        cost=cost or CellCost(initialize=Cost(), finetune=Cost()),
        initial_weights=InitialWeights(sha256=sha256(f"initial {planned.address}")),
        model=FinetunedModel(sha256=sha256(f"model {planned.address}"), mean=(0.5,), std=(0.5,)),
        provenance=provenance,
    )


def without_address(planned: PlannedCell) -> CellFacts:
    return CellFacts(**{name: getattr(planned, name) for name in CellFacts.model_fields})


def planned_stage(address: str, kind: str = "cell", inputs: dict[str, str] | None = None) -> dict[str, Any]:
    """A stage as a plan lists it."""
    return {"address": address, "kind": kind, "label": kind, "inputs": inputs or {}, "flops": 0.0}
