"""Builds the timm `VisionTransformer` of a `ViTSpec`, and reads the `ViTSpec` of a user's timm model."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer

from learngene_bench.models.vit.irpe import RelativeAttention
from learngene_bench.models.vit.spec import ViTSpec
from learngene_bench.util.errors import UserError


def build_vit(spec: ViTSpec, *, drop_path: float = 0.0, device: str = "cpu") -> VisionTransformer:
    """Builds the timm model of a spec, its weights not yet initialized; see `ModelFamily.build`.

    Without a class token: final norm per token, then mean pooling, then the head, as in the paper's DeiT.
    """
    with torch.device("meta"):
        model = VisionTransformer(**timm_arguments(spec), drop_path_rate=drop_path, weight_init="skip")
        if spec.irpe:
            side = spec.image_size // spec.patch_size
            for block in model.blocks:
                block.attn = RelativeAttention(block.get_submodule("attn"), side, int(spec.class_token))
    return model if device == "meta" else model.to_empty(device=device)


def timm_arguments(spec: ViTSpec) -> dict[str, Any]:
    """Keyword arguments that make any of timm's plain Vision Transformers the model of this spec, iRPE apart."""
    return {
        "img_size": spec.image_size,
        "patch_size": spec.patch_size,
        "in_chans": spec.channels,
        "num_classes": spec.classes,
        "embed_dim": spec.width,
        "depth": spec.depth,
        "num_heads": spec.heads,
        "mlp_ratio": spec.mlp_ratio,
        "class_token": spec.class_token,
        "global_pool": "token" if spec.class_token else "avg",
        "fc_norm": False,
    }


def vit_spec_of(model: VisionTransformer) -> ViTSpec | None:
    """Reads the spec of a timm `VisionTransformer`; None if it has parameters that a `ViTSpec` cannot describe."""
    try:
        attention, mlp = model.blocks.get_submodule("0.attn"), model.blocks.get_submodule("0.mlp")
        hidden = len(mlp.get_parameter("fc1.weight"))
        projection = model.patch_embed.proj
        spec = ViTSpec(
            depth=len(model.blocks),
            width=model.embed_dim,
            heads=int(attention.num_heads),  # type: ignore[arg-type]
            patch_size=projection.kernel_size[0],
            image_size=model.patch_embed.img_size[0],
            channels=projection.in_channels,
            classes=model.num_classes,
            mlp_ratio=hidden / model.embed_dim,
            class_token=model.cls_token is not None,
            irpe=isinstance(attention, RelativeAttention),
        )
    except (AttributeError, UserError):  # other parts, or sizes
        return None
    actual = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    return spec if spec.parameter_shapes() == actual else None
