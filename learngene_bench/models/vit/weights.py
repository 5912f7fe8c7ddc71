"""Base initialization of Vision Transformers, and what they inherit outside their blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.models.vit.spec import ViTSpec
from learngene_bench.models.weights import xavier
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


def base_value(
    spec: ViTSpec, name: str, shape: tuple[int, ...], base: BaseInitialization, generator: Generator
) -> Tensor:
    """Draws one parameter by the preset's base initialization, on the CPU."""
    value = torch.zeros(shape)
    if name == "pos_embed":
        return torch.nn.init.trunc_normal_(value, std=base.position_std, generator=generator)
    if name == "cls_token":
        return torch.nn.init.normal_(value, std=1e-6, generator=generator)
    if "norm" in name and name.endswith("weight"):
        return value.fill_(1.0)
    patch = name.startswith("patch_embed.proj.")
    if base.weight_init == "truncated-normal" and patch:
        # torch's default for weight and bias, which timm leaves alone: U(-1/sqrt(fan_in), 1/sqrt(fan_in))
        bound = (spec.channels * spec.patch_size**2) ** -0.5
        return value.uniform_(-bound, bound, generator=generator)
    if "rpe_" in name or not (value.dim() == 2 or name == "patch_embed.proj.weight"):
        return value
    if base.weight_init == "xavier":
        return xavier(shape, generator, parts=3 if name.endswith("qkv.weight") else 1)
    return torch.nn.init.trunc_normal_(value, std=0.02, generator=generator)


def inherited_positions(positions: Tensor, source: ViTSpec, target: ViTSpec, current: Tensor) -> Tensor:
    """The target's position embedding, made of the source's: (1, tokens, D).

    A class token has a position of its own, which comes first: where only one of the two models has one, patches take
    over the positions of patches, and the class token's position keeps the target's `current` value. Positions of
    another image size are interpolated as timm does.
    """
    patches = positions[:, int(source.class_token) :]
    if source.patches != target.patches:
        from timm.layers import resample_abs_pos_embed

        side = target.image_size // target.patch_size
        patches = resample_abs_pos_embed(patches, [side, side], num_prefix_tokens=0)
    if not target.class_token:
        return patches.clone()
    prefix = positions[:, :1] if source.class_token else current[:, :1]
    return torch.cat([prefix, patches], dim=1)
