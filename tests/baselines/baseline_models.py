"""A small family, and models as the benchmark hands them to a baseline; for tests of baselines."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from learngene_bench.baselines.ligo.initializer import LigoOptions
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.training.context import MeteredContext

SMALL = ViTSpec(depth=12, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)
STACKING = LigoOptions(noise=0.0, learn_operators=False)


def context(target: ViTSpec, seed: int = 0, **values: object) -> MeteredContext:
    base = BaseInitialization(weight_init="xavier", position_std=0.5)
    return MeteredContext(seed, torch.device("cpu"), Compute(), base, target, **values)  # type: ignore[arg-type]


def random_weights(spec: ViTSpec, generator: torch.Generator) -> dict[str, Tensor]:
    return {name: torch.randn(shape, generator=generator) for name, shape in spec.parameter_shapes().items()}


def initialized(
    method: Initializer, target: ViTSpec, gene: Gene | None = None, where: MeteredContext | None = None
) -> VisionTransformer:
    """A target as the benchmark hands it to a method, after the method."""
    where = where or context(target)
    model = build_model(target)
    write_weights(model, where.base_weights(target))
    method.initialize(model, target, gene, where)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    return model.eval()


def of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def ligo_gene(source: ViTSpec, generator: torch.Generator) -> Gene:
    return Gene("ligo", source, random_weights(source, generator))
