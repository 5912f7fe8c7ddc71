"""Base initialization of ConvNeXts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.models.hierarchical import drawn_matrix
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

LAYER_SCALE = 1e-6
"""The first value of each `gamma`, by which version 1 scales what a block adds."""


def base_value(name: str, shape: tuple[int, ...], base: BaseInitialization, generator: Generator) -> Tensor:
    """Draws one parameter by the preset's base initialization, on the CPU.

    "truncated-normal" is timm's own. What timm sets without drawing is the same in any base initialization.
    """
    if len(shape) > 1:
        return drawn_matrix(name, shape, base, generator)
    if name.endswith("gamma"):
        return torch.full(shape, LAYER_SCALE)
    is_norm = name.endswith(".weight") and ".grn." not in name
    return torch.full(shape, float(is_norm))
