"""Texts of methods for `lgbench check`, sound ones or with a fault, and what it says about them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from learngene_bench.conformance.fixtures import TinyTarget
from learngene_bench.conformance.runner import ConformanceReport, check
from learngene_bench.plugins.registry import Registry

DIRECT = """
import os, random
import numpy as np
from learngene_bench.util.files import canonical
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.util.lazy import torch
from learngene_bench.plugins.registry import dataset
from learngene_bench.models.weights import write_weights

class Mine(Initializer):
    name, title = "mine", "Mine"
    {declarations}

    def initialize(self, model, target, gene, context):
        generator = {generator}
        matrices = {{name: shape for name, shape in target.parameter_shapes().items() if len(shape) == 2}}
        write_weights(model, {{name: torch.randn(shape, generator=generator) for name, shape in matrices.items()}})
        {more}
"""


def direct(more: str = "pass", declarations: str = "pass", generator: str = 'context.generator("mine")') -> str:
    """A method without a gene: matrices are drawn, then comes `more`."""
    return DIRECT.format(more=more, declarations=declarations, generator=generator)


WITH_GENE = """
import os
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer
from learngene_bench.models.weights import write_weights

class Mine(Initializer):
    name, title = "mine", "Mine"
    {declarations}

    def gene_request(self, target, base):
        return GeneRequest(base, {{"teacher": Distiller()}}, {{"scale": 2.0}}, {trains})

    def prepare(self, request, context):
        from learngene_bench.expansion.materialised import ExpandedModel
        stem = context.base_weights(request.family)
        network = ExpandedModel(Expansion(request.family, {{}}, {{}}), stem)
        {prepare}
        weights = network.non_block.detached()
        tensors = {{"pos_embed": weights["pos_embed"], "norm.weight": weights["norm.weight"]}}
        facts = dict(request.settings)
        {keep}

    def initialize(self, model, target, gene, context):
        if target.width == gene.family.width:
            write_weights(model, {{"norm.weight": gene.tensors["norm.weight"] * gene.facts["scale"]}})
        {more}
"""


def with_gene(
    prepare: str = 'context.train(network, "condensation", teacher="teacher")',
    keep: str = "return Gene(self.name, request.family, tensors, facts)",
    trains: str = '("condensation",)',
    more: str = "pass",
    declarations: str = "pass",
) -> str:
    """A method that distils a model and hands on its final norm, times a fact of the gene."""
    return WITH_GENE.format(prepare=prepare, keep=keep, trains=trains, more=more, declarations=declarations)


TOO_SHALLOW = "if target.depth < 4: raise ValueError('four blocks are needed')"
OWN_LOSS = """
        from torch.nn.functional import cross_entropy
        from learngene_bench.training.custom_objective import CustomObjective
        class Own(CustomObjective):
            def __init__(self):
                super().__init__()
                self.network = network
            def sample_step(self, generator): pass
            def step_flops(self): return 0.0, 0.0
            def forward(self, images, targets=None, smoothing=0.0):
                logits = self.network(images)
                return logits if targets is None else cross_entropy(logits, targets, label_smoothing={smoothing})
        {more}
        context.train(Own(), "condensation")"""
WITH_DROP_PATH = 'network.set_drop_path(context.recipes["condensation"].drop_path)'
ON_A_GPU = """
        import torch
        from learngene_bench.expansion.materialised import ExpandedModel
        class Own(ExpandedModel):
            def forward(self, images):
                logits = super().forward(images)
                {forward}
                return logits
        network = Own(Expansion(request.family, {{}}, {{}}), stem)
        context.train(network, "condensation")"""


def checked(tmp_path: Path, text: str, targets: Collection[TinyTarget] = ()) -> ConformanceReport:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return check(Registry([path]).get("mine"), targets=targets)


def failures(report: ConformanceReport) -> dict[str, list[str]]:
    """Returns the problems of each check that failed."""
    return {
        outcome.check: [f"{problem.where}: {problem.what}" for problem in outcome.problems]
        for outcome in report.outcomes
        if outcome.status == "failed"
    }
