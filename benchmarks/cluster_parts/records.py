"""Records of stages that nothing trained: valid for every reader, with a duration and made-up numbers."""

from __future__ import annotations

import hashlib
from typing import Any

from learngene_bench.schema.cost import AncestorCost, CellCost, Cost, GeneCost
from learngene_bench.schema.metric import CurvePoint, MetricSpec
from learngene_bench.schema.provenance import Git, Provenance
from learngene_bench.schema.record import (
    AncestorRecord,
    CellRecord,
    Evaluation,
    FinetunedModel,
    GeneRecord,
    InitialWeights,
    Record,
    Tensors,
)
from learngene_bench.schema.stage import CellConfig, StageFile

TOP1 = MetricSpec(name="top1", title="top-1", unit="%", bounds=(0.0, 100.0), counts_images=True)
"""The metric of all tasks here, also where a real record has another one."""
IMAGES = 10_000
_WHEN = "2026-11-20T12:00:00Z"


def record_of(file: StageFile, flops: float, seconds: float) -> Record:
    """Makes the record of a stage from its configuration; the number in it depends on the address alone."""
    spent = Cost(epochs=1.0, iterations=1, images=IMAGES, flops=flops, seconds=seconds, parameters=1)
    sha256 = hashlib.sha256(file.address.encode()).hexdigest()
    data = file.config.data
    head: dict[str, Any] = {
        "protocol": file.config.protocol,
        "address": file.address,
        "inputs": file.inputs,
        "provenance": Provenance(
            command=file.execution.command,
            versions={},
            hardware={"device": "cuda", "accelerator": "simulated"},
            git=Git(commit=None, dirty=None),
            started=_WHEN,
            finished=_WHEN,
            data=data,
        ),
    }
    value = (1000 + int(sha256[:8], 16) % 8000) / 100
    measured: dict[str, Any] = {
        "metrics": {"top1": value},
        "metric_specs": {"top1": TOP1},
        "primary_metric": "top1",
    }
    if file.kind == "gene":
        return GeneRecord(**head, curve={}, cost=GeneCost(prepare=spent), tensors=Tensors(sha256=sha256, bytes=4096))
    if file.kind == "ancestor":
        return AncestorRecord(
            **head,
            **measured,
            evaluation=Evaluation(split="validation", images=IMAGES),
            curve=(),
            cost=AncestorCost(train=spent),
            forward_flops=1e9,
            tensors=Tensors(sha256=sha256, bytes=4096),
        )
    description = file.execution.description
    assert description is not None
    assert isinstance(file.config, CellConfig)
    start = CurvePoint(epoch=0.0, iterations=0, loss=None, metrics={"top1": 0.1})
    end = CurvePoint(epoch=1.0, iterations=1, loss=1.0, metrics={"top1": value})
    return CellRecord(
        **head,
        **measured,
        **{name: getattr(description, name) for name in type(description).model_fields},
        initial_metrics={"top1": 0.1},
        evaluation=Evaluation(split=file.config.evaluation_split, images=IMAGES),
        curve=(start, end),
        cost=CellCost(initialize=Cost(), finetune=spent),
        initial_weights=InitialWeights(sha256=sha256),
        model=FinetunedModel(sha256=sha256, mean=(0.5,), std=(0.5,)),
    )
