"""A control: timm's `weight_init='jax'`, the initialization of the original ViT code in JAX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer, NoOptions
from learngene_bench.models.weights import write_weights, xavier
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a standard normal truncated to (-2, 2)."""


class JaxDefault(Initializer[NoOptions]):
    """timm's `init_weights_vit_jax`, after the Flax code of Dosovitskiy et al. 2021.

    Linear layers Xavier-uniform, qkv as *one* 3D x D matrix (so smaller than under `he`, where query, key and value
    count apart); biases of the MLP normal of std 1e-6, other biases 0; the patch convolution LeCun-normal (truncated at
    two standard deviations, variance 1 / fan-in), its bias 0; head 0.

    The head is 0 on every task: no other method defines the head of a task that is not the source.

    "Default" is not one thing, so it stands in the table as a row of its own. A choice of this suite: the position
    embedding keeps the preset's standard deviation, as for all methods.
    """

    name = "jax"
    title = "timm jax"
    group = "direct"
    citation = "Wightman, PyTorch Image Models, `timm/models/vision_transformer.py`, `init_weights_vit_jax`"

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        generator = context.generator("jax")
        weights = {}
        for name, shape in target.parameter_shapes().items():
            if name == "head.weight":
                weights[name] = torch.zeros(shape)
            elif name == "patch_embed.proj.weight":
                weights[name] = lecun_normal(shape, generator)
            elif len(shape) == 2:
                weights[name] = xavier(shape, generator)
            elif ".mlp." in name:
                weights[name] = 1e-6 * torch.randn(shape, generator=generator)
            elif name.endswith("bias"):
                weights[name] = torch.zeros(shape)
        write_weights(model, weights)


def lecun_normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Normal numbers of variance 1 / fan-in, those beyond two standard deviations drawn again."""
    numbers = torch.nn.init.trunc_normal_(torch.empty(shape), a=-2.0, b=2.0, generator=generator)
    return numbers * math.prod(shape[1:]) ** -0.5 / TRUNCATED_STD
