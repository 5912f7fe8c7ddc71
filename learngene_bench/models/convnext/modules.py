"""Builds the timm `ConvNeXt` of a `ConvNeXtSpec`, and reads the `ConvNeXtSpec` of a user's timm model."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.convnext import ConvNeXt
from torch import nn

from learngene_bench.models.convnext.spec import ConvNeXtSpec
from learngene_bench.models.hierarchical import in_lowest_terms
from learngene_bench.models.structure import same_structure
from learngene_bench.util.errors import UserError

STAGES = 4
"""Number of stages of every ConvNeXt that timm builds."""


def build_convnext(spec: ConvNeXtSpec, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
    """Builds the timm model of a spec, its weights not yet initialized; see `ModelFamily.build`."""
    with torch.device("meta"):
        model: Any = _with_stages(spec, drop_path)
    model = model if device == "meta" else model.to_empty(device=device)
    # Nothing in a ConvNeXt depends on the image size. It is kept where timm keeps that of its own models.
    model.pretrained_cfg = {"input_size": (spec.channels, spec.image_size, spec.image_size)}
    return model


def _with_stages(spec: ConvNeXtSpec, drop_path: float) -> ConvNeXt:
    missing = STAGES - len(spec.depths)
    if missing < 0:
        raise UserError(f"a ConvNeXt has at most {STAGES} stages, not {len(spec.depths)}")
    # Stages that are missing are built without blocks, as wide as the last, and taken away again.
    model = ConvNeXt(
        in_chans=spec.channels,
        num_classes=spec.classes,
        patch_size=spec.patch_size,
        depths=(*spec.depths, *(0,) * missing),
        dims=(*spec.widths, *spec.widths[-1:] * missing),
        kernel_sizes=spec.kernel_size,
        ls_init_value=1.0 if spec.version == 1 else None,
        use_grn=spec.version == 2,
        conv_mlp=spec.convolutional_mlp,
        drop_path_rate=drop_path,
    )
    model.stages = model.stages[: len(spec.depths)]
    model.stages[0].downsample = nn.Identity()  # timm has a layer there where patches have two pixels
    return model


def timm_arguments(spec: ConvNeXtSpec) -> dict[str, Any]:
    """Keyword arguments that make any of timm's ConvNeXts of this version the model of this spec.

    Raises:
        UserError: timm has no such model.
    """
    if len(spec.depths) != STAGES:
        raise UserError(f"timm builds ConvNeXts of {STAGES} stages only, this model has {len(spec.depths)}")
    if spec.patch_size == 2:
        raise UserError("timm halves the image once more where patches of a ConvNeXt have two pixels")
    return {
        "in_chans": spec.channels,
        "num_classes": spec.classes,
        "patch_size": spec.patch_size,
        "depths": spec.depths,
        "dims": spec.widths,
        "kernel_sizes": spec.kernel_size,
        "conv_mlp": spec.convolutional_mlp,
    }


def convnext_spec_of(model: nn.Module) -> ConvNeXtSpec | None:
    """Reads the spec of a timm `ConvNeXt`; None if the model is none, or one that no spec describes.

    Raises:
        UserError: it has sizes that no spec allows.
    """
    try:
        spec = _read(model)
        return spec if same_structure(model, build_convnext(spec, device="meta")) else None
    except (AttributeError, IndexError, TypeError):  # what every ConvNeXt has is missing
        return None


def _read(model: Any) -> ConvNeXtSpec:
    stem, block = model.stem[0], model.stages[0].blocks[0]
    depths = [len(stage.blocks) for stage in model.stages]
    return ConvNeXtSpec(
        depth=sum(depths),
        width=stem.out_channels,
        image_size=model.pretrained_cfg["input_size"][-1] if hasattr(model, "pretrained_cfg") else 224,
        channels=stem.in_channels,
        classes=model.num_classes,
        patch_size=stem.kernel_size[0],
        stage_ratio=in_lowest_terms(depths),
        kernel_size=block.conv_dw.kernel_size[0],
        version=2 if hasattr(block.mlp, "grn") else 1,
        convolutional_mlp=isinstance(block.mlp.fc1, nn.Conv2d),
    )
