"""What stages, conformance checks and library calls hand to a method: new models, and data without the test split."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.models.vision_transformer import VisionTransformer

from learngene_bench.augment import DeviceImages, Normalization
from learngene_bench.config import Augmentation, BaseInitialization, Recipe
from learngene_bench.context import SourceData
from learngene_bench.datasets import Images, Splits
from learngene_bench.models import build_model
from learngene_bench.spec import ModelSpec
from learngene_bench.streams import Streams
from learngene_bench.weights import base_weights, write_weights


def new_model(spec: ModelSpec, base: BaseInitialization, seed: int, drop_path: float = 0.0) -> VisionTransformer:
    """A model on the CPU whose weights are the base initialization, drawn from the seed."""
    model = build_model(spec, drop_path=drop_path)
    write_weights(model, base_weights(spec, base, Streams(seed).generator("weights")))
    return model


def training_images(splits: Splits, recipe: Recipe, device: torch.device) -> DeviceImages:
    """The training split as this recipe shows it: under its augmentation, then under the task's own."""
    augmentations = tuple(a for a in (recipe.augmentation, splits.task) if a != Augmentation())
    return DeviceImages(splits.train, normalization(splits), device, augmentations)


def plain_images(split: Images, splits: Splits, device: torch.device) -> DeviceImages:
    """One of the splits without augmentation."""
    return DeviceImages(split, normalization(splits), device)


def source_data(splits: Splits, classes: int, recipes: Mapping[str, Recipe], device: torch.device) -> SourceData:
    """The source task as a method may see it; nothing in it leads to the test split.

    Args:
        recipes: those that the method said it trains by, by name.
    """
    return SourceData(
        train={name: training_images(splits, recipe, device) for name, recipe in recipes.items()},
        plain=plain_images(splits.train, splits, device),
        validation=plain_images(splits.validation, splits, device),
        classes=classes,
    )


def normalization(splits: Splits) -> Normalization:
    return Normalization(splits.mean, splits.std)
