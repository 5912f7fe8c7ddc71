"""Base initialization of Swin Transformers, and how their blocks go over to other windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.models.hierarchical import drawn_matrix
from learngene_bench.models.swin.spec import SwinSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

TABLE = "attn.relative_position_bias_table"


def base_value(
    spec: SwinSpec, name: str, shape: tuple[int, ...], base: BaseInitialization, generator: Generator
) -> Tensor:
    """Draws one parameter by the preset's base initialization, on the CPU.

    "truncated-normal" is timm's own. What timm sets without drawing, and its tables of positions, are the same in any
    base initialization.
    """
    value = torch.zeros(shape)
    if name.endswith(TABLE):
        return torch.nn.init.trunc_normal_(value, std=0.02, generator=generator)
    if name.endswith("logit_scale"):
        return value.fill_(math.log(10))
    if spec.version == 2 and name.endswith(("norm1.weight", "norm2.weight")):
        return value  # a block of version 2 starts as the identity
    if base.weight_init == "truncated-normal" and name.startswith("patch_embed.proj."):
        # torch's default for weight and bias, which timm leaves alone: U(-1/sqrt(fan_in), 1/sqrt(fan_in))
        bound = (spec.channels * spec.patch_size**2) ** -0.5
        return value.uniform_(-bound, bound, generator=generator)
    if len(shape) == 1:
        return value.fill_(float(name.endswith(".weight")))
    return drawn_matrix(name, shape, base, generator)


def resized_table(table: Tensor, window: int) -> Tensor:
    """Resamples a table of position biases (places, heads) for windows of another size, by timm's function."""
    from timm.layers import resize_rel_pos_bias_table

    places = (2 * window - 1) ** 2
    if len(table) == places:
        return table
    resized: Tensor = resize_rel_pos_bias_table(table, (window, window), (places, table.shape[1]))
    return resized
