"""Computes a gene: a method's `prepare`."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.contracts.initializer import GeneRequest
from learngene_bench.execution.ancestor_stage import AncestorStage
from learngene_bench.execution.stage import StageComputation
from learngene_bench.runs.tensors import describe_file
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.cost import Cost, GeneCost
from learngene_bench.schema.record import GeneRecord
from learngene_bench.schema.stage import GeneConfig


class GeneStage(StageComputation[GeneRecord]):
    """A gene that a method prepares from ancestors, the source task's training split, or a file."""

    kind: ClassVar[StageKind] = "gene"

    @property
    def config(self) -> GeneConfig:
        assert isinstance(self.file.config, GeneConfig)
        return self.file.config

    @property
    def seed(self) -> int:
        return self.config.seed or 0

    def compute(self) -> GeneRecord | None:
        config = self.config
        method = self.create_method(config.method, {})
        request = GeneRequest(
            family=spec_from_dict(config.spec),
            settings=config.settings,
            trains=tuple(config.recipes),
            files={role: self.find_weights_file(sha256) for role, sha256 in config.files.items()},
        )
        ancestors: dict[str, nn.Module] = {}
        flops: dict[str, float] = {}
        spent = Cost()
        for role, address in self.file.inputs.items():
            ancestors[role], record = AncestorStage(self.runs, address, self.registry).load_finished()
            flops[role], spent = record.forward_flops, spent + record.cost.train
        context = self.make_context("auxiliary", request.family, config.recipes, ancestors, flops)
        with context.seeded_globally():
            gene = method.prepare(request, context)
        if not self.processes.is_rank0:
            return None
        gene.save(self.folder.tensors)
        return GeneRecord(
            **self.record_head(),
            curve={name: tuple(curve) for name, curve in context.curves.items()},
            cost=GeneCost(ancestors=spent, prepare=context.cost),
            tensors=describe_file(self.folder.tensors),
        )
