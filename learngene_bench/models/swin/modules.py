"""Builds the timm Swin Transformer of a `SwinSpec`, and reads the `SwinSpec` of a user's timm model."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

from learngene_bench.models.hierarchical import in_lowest_terms
from learngene_bench.models.structure import build_with_buffers, same_structure
from learngene_bench.models.swin.spec import SwinSpec


def build_swin(spec: SwinSpec, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
    """Builds the timm model of a spec, its weights not yet initialized; see `ModelFamily.build`."""
    return build_with_buffers(partial(_timm_model, spec, drop_path), device)


def _timm_model(spec: SwinSpec, drop_path: float = 0.0) -> nn.Module:
    kind = SwinTransformer if spec.version == 1 else SwinTransformerV2
    return kind(**timm_arguments(spec), drop_path_rate=drop_path)


def timm_arguments(spec: SwinSpec) -> dict[str, Any]:
    """Keyword arguments that make any of timm's Swin Transformers of this version the model of this spec."""
    pretrained = spec.pretrained_windows or (0,) * len(spec.depths)
    return {
        "img_size": spec.image_size,
        "patch_size": spec.patch_size,
        "in_chans": spec.channels,
        "num_classes": spec.classes,
        "embed_dim": spec.width,
        "depths": spec.depths,
        "num_heads": spec.heads,
        "window_size": spec.window,
        "mlp_ratio": spec.mlp_ratio,
        **({"pretrained_window_sizes": pretrained} if spec.version == 2 else {}),
    }


def swin_spec_of(model: nn.Module) -> SwinSpec | None:
    """Reads the spec of a timm Swin Transformer; None if the model is none, or one that no spec describes.

    Raises:
        UserError: it has sizes that no spec allows.
    """
    try:
        spec = _read(model)
        with torch.device("meta"):
            described = _timm_model(spec)
        same = same_structure(model, described) and _attends(model) == _attends(described)
    except (AttributeError, IndexError, TypeError):  # what every Swin Transformer has is missing
        return None
    return spec if same else None


def _read(model: Any) -> SwinSpec:
    blocks = [stage.blocks[0] for stage in model.layers]
    depths, projection = [len(stage.blocks) for stage in model.layers], model.patch_embed.proj
    windows = tuple(max(getattr(block.attn, "pretrained_window_size", (0,))) for block in blocks)
    return SwinSpec(
        depth=sum(depths),
        width=projection.out_channels,
        image_size=model.patch_embed.img_size[0],
        channels=projection.in_channels,
        classes=model.num_classes,
        patch_size=projection.kernel_size[0],
        stage_ratio=in_lowest_terms(depths),
        window=max(max(block.window_size) for block in blocks),
        head_dimension=projection.out_channels // blocks[0].attn.num_heads,
        mlp_ratio=blocks[0].mlp.fc1.out_features / projection.out_channels,
        version=2 if hasattr(blocks[0].attn, "logit_scale") else 1,
        pretrained_windows=windows if any(windows) else (),
    )


def _attends(model: Any) -> list[Any]:
    """Describes what no parameter shows: image size, pooling, and for each block its windows and how they shift."""
    blocks = [block for stage in model.layers for block in stage.blocks]
    windows = [(block.input_resolution, block.window_size, block.shift_size, block.dynamic_mask) for block in blocks]
    return [model.patch_embed.img_size, model.global_pool, *windows]
