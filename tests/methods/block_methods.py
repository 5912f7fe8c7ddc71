"""Small families, and the methods whose genes are whole blocks; for tests of these methods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.expansion.block_genes import BlockInitializer
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.hierarchical import HierarchicalSpec
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.plugins.registry import Registry
from learngene_bench.training.context import MeteredContext

FAMILY = ViTSpec(depth=12, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5, irpe=True)

SIZES = {"depth": 12, "width": 8, "patch_size": 2, "image_size": 12, "channels": 1, "classes": 5}
SWIN = SwinSpec(**SIZES, head_dimension=4, window=3, stage_ratio=(1, 1))
CONVNEXT = ConvNeXtSpec(**SIZES, kernel_size=3, stage_ratio=(1, 2))
SPECS: dict[str, HierarchicalSpec] = {"swin": SWIN, "swin 2": replace(SWIN, version=2), "convnext": CONVNEXT}
"""Small models of several stages."""


def create(method: str, **options: Any) -> BlockInitializer[Any]:
    made = Registry().get(method).create(options)
    assert isinstance(made, BlockInitializer)
    return made


def context(spec: ViTSpec, same_task: bool = True, **fields: Any) -> MeteredContext:
    """Makes what a method is given for this target; with `role="auxiliary"` for a gene made by this model."""
    base = BaseInitialization(weight_init="xavier", position_std=0.5)
    return MeteredContext(0, torch.device("cpu"), Compute(), base, spec, same_task=same_task, **fields)


def random_weights(spec: ViTSpec, generator: torch.Generator) -> dict[str, Tensor]:
    return {name: torch.randn(shape, generator=generator) * 0.5 for name, shape in spec.parameter_shapes().items()}


def initialized(method: Initializer[Any, Any], target: ViTSpec, gene: Gene, same_task: bool = True) -> nn.Module:
    where = context(target, same_task)
    model = build_model(target)
    write_weights(model, where.base_weights(target))
    method.initialize(model, target, gene, where)
    return model
