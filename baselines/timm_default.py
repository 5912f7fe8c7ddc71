"""A control: what a user gets who lets timm initialize the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer, NoOptions
from learngene_bench.models.weights import base_weights, write_weights

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


class TimmDefault(Initializer[NoOptions]):
    """timm's default for the architecture.

    Vision Transformers: linear layers truncated-normal of std .02, their biases 0; weight and bias of the patch
    convolution as torch leaves them, U(-v, v) with v = 1 / sqrt(channels * p * p); a class token normal of std 1e-6.
    Swin Transformers: the same, and tables of position biases truncated-normal of std .02. ConvNeXts: all convolutions
    truncated-normal of std .02 too, biases 0.

    "Default" is not one thing, so it stands in the table as a row of its own. Choices of this suite: the position
    embedding keeps the preset's standard deviation, as for all methods, since timm's .02 makes very small models learn
    very slowly. On another task than the source the head keeps the preset's base initialization, as under `he`.
    """

    name = "timm"
    title = "timm default"
    group = "direct"
    families = ("vit", "swin", "convnext", "timm")
    citation = "Wightman, PyTorch Image Models, `timm/models/vision_transformer.py`, `init_weights_vit_timm`"

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        settings = BaseInitialization(weight_init="truncated-normal", position_std=context.base.position_std)
        weights = base_weights(target, settings, context.generator("timm"))
        kept = () if context.same_task else target.head_shapes()
        write_weights(model, {name: weight for name, weight in weights.items() if name not in kept})
