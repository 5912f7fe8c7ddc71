"""Direct pre-training: every target is trained from scratch by the full recipe; the reference row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import model_validator

from learngene_bench.config.section import Section, later
from learngene_bench.contracts.family import BASE_DEPTH, ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import inherit_whole_model, on_task_of

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context


class DirectPretrainingOptions(Section):
    checkpoint: Path | None = later(
        None,
        protocol=3,
        description="a model trained elsewhere (MAE, DINO), safetensors or weights-only, that targets start from",
    )
    checkpoint_depth: int = later(BASE_DEPTH, protocol=3, ge=1, description="layers of the model in `checkpoint`")

    @model_validator(mode="after")
    def _is_of_a_checkpoint(self) -> DirectPretrainingOptions:
        if self.checkpoint is None and self.checkpoint_depth != BASE_DEPTH:
            raise ValueError("checkpoint_depth is that of a checkpoint: give checkpoint too")
        return self


class DirectPretraining(Initializer[DirectPretrainingOptions]):
    """The paper's "Direct PT": 150 epochs for every size; on the source task nothing is fine-tuned
    afterwards. On other tasks all but the head is inherited and fine-tuned.

    The parameter column counts iRPE tables on the source task and none on others, as only that gives the figures WAVE
    prints (its Table 3 has 11.0 M for DeiT-S, with tables it would be 11.1 M). They are inherited in both cases.

    With `checkpoint` a target starts from a model that was trained elsewhere, without labels (MAE, DINO, MoCo v3) or
    with them, and is fine-tuned on every task. Then the row is called "Start from FILE". Only plain Vision Transformers
    of the same depth and width have one; heads are not in the file, so they must be as many. The head keeps the base
    initialization, as files of such models have none, or one of other labels. Positions are resampled, a class token
    that only one of both models has is left out or kept, as for every method. What the model was trained on, and what
    that cost, nobody here knows: neither is counted, and images of another source are no equal comparison. The names in
    the file are understood as MAE, DINO and MoCo v3 write them (`training.backbones`); the log says what was taken.
    """

    name = "direct-pt"
    title = "Direct PT"
    group = "pre-training"
    citation = "Touvron et al., Training data-efficient image transformers, ICML 2021"
    families = None
    Options = DirectPretrainingOptions

    def __init__(self, options: DirectPretrainingOptions) -> None:
        super().__init__(options)
        self.is_trained = options.checkpoint is None

    def row_title(self) -> str:
        return f"Start from {self.options.checkpoint.stem}" if self.options.checkpoint else self.title

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        if self.options.checkpoint is None:
            # Blocks of some families depend on the image size, which another task may change.
            return target.block_mismatch(on_task_of(base, target))
        if not isinstance(target, ViTSpec) or not isinstance(base, ViTSpec):
            return "checkpoints are read as plain Vision Transformers only"
        if target.depth != self.options.checkpoint_depth:
            return f"the model in its checkpoint has {self.options.checkpoint_depth} layers"
        if target.heads != base.heads:
            return f"the model in its checkpoint has {base.heads} heads"
        return target.block_mismatch(base)

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        pretrained = on_task_of(base, target)
        if self.options.checkpoint is not None:
            return GeneRequest(family=pretrained, files={"checkpoint": self.options.checkpoint})
        return GeneRequest(family=pretrained, ancestors={"itself": Pretrained(pretrained)})

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        if "checkpoint" not in request.files:
            return Gene(self.name, request.family, dict(context.ancestors["itself"].named_parameters()))
        from learngene_bench.training.backbones import read_backbone

        path = request.files["checkpoint"]
        assert isinstance(request.family, ViTSpec)
        family, weights, taken = read_backbone(path, request.family)
        print(f"checkpoint {path}: {taken or 'a Vision Transformer'}; the head keeps its base initialization")
        return Gene(self.name, family, weights, {"taken": taken})

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        inherit_whole_model(model, gene.tensors, gene.family, target, head=context.same_task)

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        # Without a head it is counted for the table of another task, and from a file, which has no tables either.
        has_head = target.classes and self.options.checkpoint is None
        left = () if has_head else target.head_shapes()
        shapes = target.parameter_shapes().items()
        return {name: shape for name, shape in shapes if name not in left and (has_head or "rpe_" not in name)}
