"""SWS: stage-wise weight sharing (arXiv 2404.16897)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, PositiveInt

from learngene_bench.config.section import Section
from learngene_bench.expansion.block_genes import DistilledBlocks, Scalers, one_hot


class SwsOptions(Section):
    stages: tuple[PositiveInt, ...] = Field(
        (3, 3, 4, 3, 3), min_length=1, description="layers of each stage; together the auxiliary model's depth"
    )


class Sws(DistilledBlocks[SwsOptions]):
    """W(l) = T(s(l)), s(l) the stage of layer l: one template per stage, one-hot scalers.

    The auxiliary model has 16 layers in five stages of 3, 3, 4, 3 and 3, and the layers of a stage share all their
    weights, norms included. A target's stages follow each other in the same order.

    Faithful to the authors' code (AlphaXia/SWS, `aux_models.py`): the stages, what is shared, and the target of 12
    layers, whose stages have 3, 3, 2, 2 and 2.
    Choices of this suite: other depths, see `stage_of_layers`; the authors' 12 layers are not in proportion to their
    16, so proportion alone cannot be the rule. Templates start as layers of the preset's base initialization.
    Different from the authors' code: they fine-tune 10 epochs at a learning rate of 5e-5 (S) or 1e-5 (B); here all
    methods share the preset's recipe. `--set finetuning.learning_rate=5e-5` gives every size theirs of S, with
    `--set sizes.b.recipes.finetuning.learning_rate=1e-5` B has its own. Their norms' epsilon is 1e-5 in the auxiliary
    model and 1e-6 in its targets; here both have 1e-6. Their models have no iRPE (`SWS_vit.py`), so the parameter
    column counts no tables; where the preset's models have them, they are shared and inherited too.
    """

    name = "sws"
    title = "SWS"
    group = "learngene"
    citation = (
        "Xia et al., Exploring Learngene via Stage-wise Weight Sharing for Initializing Variable-sized Models, 2024"
    )
    families = None
    Options = SwsOptions

    def auxiliary_depth(self) -> int:
        return sum(self.options.stages)

    def settings(self) -> dict[str, Any]:
        return {"stages": list(self.options.stages)}

    def scalers(self, depth: int, settings: Mapping[str, Any]) -> Scalers:
        stages = settings["stages"]
        return [one_hot(stage, len(stages)) for stage in stage_of_layers(depth, stages)]


def stage_of_layers(depth: int, stages: Sequence[int]) -> list[int]:
    """Assigns each layer of a model to a stage, rising.

    Layers are dealt to the stages in turn, from the first, until each stage has as many as in the auxiliary model (and
    then, for deeper models, again). With fewer layers than stages, the layers' stages are spread evenly from the first
    to the last.

    Args:
        stages: layers of each stage of the auxiliary model.
    """
    last = len(stages) - 1
    if depth <= last:
        return [round(layer * last / max(1, depth - 1)) for layer in range(depth)]
    turns = [stage for turn in range(max(stages)) for stage, layers in enumerate(stages) if turn < layers]
    return sorted(turns[layer % len(turns)] for layer in range(depth))
