"""Models of timm, images and a gene as a user of `learngene_bench.initialize` has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from learngene_bench.contracts.gene import Gene
from learngene_bench.methods.wave.initializer import Wave, WaveOptions
from learngene_bench.methods.wave.layout import Layout, components
from learngene_bench.models.vit import ViTSpec

DEIT = ViTSpec(depth=12, width=192, heads=3, patch_size=16, image_size=224, class_token=True)
SMALL = {"img_size": 12, "patch_size": 4, "in_chans": 1, "num_classes": 10}


def deit(**arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("deit_tiny_patch16_224", **arguments)


def small(depth: int = 3, width: int = 16, **arguments: Any) -> nn.Module:
    """A DeiT with class token for 12 x 12 digits, heads of dimension 8."""
    return deit(**{**SMALL, "depth": depth, "embed_dim": width, "num_heads": width // 8, **arguments})


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def wave_gene(family: ViTSpec) -> Gene:
    """Makes a gene in WAVE's format whose tensors are random."""
    method, generator = Wave(WaveOptions()), torch.Generator().manual_seed(0)
    settings = method.gene_request(family, family).settings
    layout = Layout(family, settings["template_size"], settings["per_position"])
    tensors = {}
    for name in components(family, settings["parts"]):
        tensors[f"templates/{name}"] = 0.05 * torch.randn(layout.template_shape(name), generator=generator)
        tensors[f"scalers/{name}"] = torch.randn(layout.padding(name, family.depth).shape, generator=generator)
    for name, shape in {**family.non_block_shapes(), **family.head_shapes()}.items():
        tensors[f"stem/{name}"] = torch.randn(shape, generator=generator)
    return Gene("wave", family, tensors, dict(settings))


def images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (60, 1, 12, 12), np.uint8), np.arange(60) % 10


def short_preset(tmp_path: Path) -> Path:
    from learngene_bench.config.loader import shipped_files

    text = shipped_files("preset")["digits"].read_text().replace("epochs = 60", "iterations = 2")
    path = tmp_path / "short.toml"
    path.write_text(text.replace("iterations = 150", "iterations = 3"))
    return path
