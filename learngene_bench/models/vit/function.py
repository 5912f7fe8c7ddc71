"""Compares what a model computes with what a plain Vision Transformer of the same parameters computes."""

from __future__ import annotations

import copy

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from learngene_bench.models.structure import TOLERANCE, draw, layers
from learngene_bench.models.vit.modules import build_vit
from learngene_bench.models.vit.spec import ViTSpec

ATTRIBUTES = ("global_pool", "no_embed_class", "num_prefix_tokens", "pool_include_prefix")
"""Attributes of a timm `VisionTransformer` that change what it computes, and that no layer shows."""


def computes_as(model: VisionTransformer, spec: ViTSpec) -> bool:
    """Returns True if a model with the parameters of this spec computes what the spec's model computes with them.

    Parts of the same kinds compute the same. Others are run: one block of each kind, and all that is around the blocks,
    on a random image, with the same random numbers in both models.
    """
    expected = build_vit(spec, device="meta")
    if _kinds(model) == _kinds(expected):
        return True
    if any(parameter.is_meta for parameter in model.parameters()):
        return False
    blocks = list({str(_kinds(block)): block for block in reversed(model.blocks)}.values())
    # A copy that has these blocks in the place of all.
    short = copy.deepcopy(model, {id(model.blocks): nn.Sequential(*map(copy.deepcopy, blocks))}).cpu().float().eval()
    plain = build_vit(spec.with_depth(len(blocks))).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        theirs = dict(short.named_parameters())
        for name, parameter in plain.named_parameters():
            draw(parameter, generator)
            theirs[name].copy_(parameter)
        image = torch.randn(1, *spec.image_shape(), generator=generator)
        wanted = plain(image)
        try:
            found = short(image)
        except Exception:  # whatever it needs, a plain model does not
            return False
    if not isinstance(found, Tensor) or found.shape != wanted.shape:
        return False
    return float((found - wanted).norm() / wanted.norm()) <= TOLERANCE


def _kinds(model: nn.Module) -> list[object]:
    """Lists the classes of all parts, what its layers say of themselves, and the attributes that count."""
    classes = [(name, type(part)) for name, part in model.named_modules() if list(part.children())]
    return [classes, layers(model), [getattr(model, name, None) for name in ATTRIBUTES]]
