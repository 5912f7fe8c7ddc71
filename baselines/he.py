"""He-Init as the WAVE paper uses it: MoCo-v3's initialization, which is Xavier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer, NoOptions
from learngene_bench.models.weights import write_weights, xavier_by_name
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


class He(Initializer[NoOptions]):
    """The paper's "He-Init": Chen, Xie and He 2021 (MoCo-v3), `vits.py:32-47` of facebookresearch/moco-v3.

    qkv ~ U(-v, v) with v = sqrt(6 / (rows / 3 + columns)), as query, key and value are three D x D matrices; the other
    linear layers Xavier-uniform; the patch convolution U(-v, v) with v = sqrt(6 / (channels * p * p + D)); biases 0.
    Other models start by the same rule: convolutions between stages count like patches, depthwise ones have
    v = sqrt(6 / (k * k + k * k)), value and gate of a gated MLP are two matrices. What is neither a matrix nor a bias
    keeps the preset's base initialization: norms, tokens, LayerScale, tables of relative positions.

    Choices of this suite: MoCo-v3 fixes a 2-D sine-cosine position embedding; here positions stay learned and keep the
    preset's base initialization. On another task than the source the head keeps it too, as under every method that does
    not define a head of its own. So these methods all begin such a task with the same head.
    """

    name = "he"
    title = "He-Init"
    group = "direct"
    families = None
    citation = "Chen, Xie and He, An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021"

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        generator = context.generator("he")
        kept = () if context.same_task else target.head_shapes()
        weights = {}
        shapes = target.parameter_shapes()
        for name, shape in shapes.items():
            if name.endswith("bias"):
                weights[name] = torch.zeros(shape)
            elif name.endswith("weight") and len(shape) in (2, 4):  # matrices, and a patch convolution as one
                weights[name] = xavier_by_name(name, shapes, generator)
        write_weights(model, {name: weight for name, weight in weights.items() if name not in kept})
