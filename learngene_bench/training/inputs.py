"""What stages, conformance checks and library calls hand to a method: new models, and data without the test split."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.models.vision_transformer import VisionTransformer

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.context import SourceData
from learngene_bench.contracts.dataset import Images, Split, Splits
from learngene_bench.data.batch_augment import DeviceImages, Normalization, SplitImages
from learngene_bench.data.dataloader import StreamedImages
from learngene_bench.models.base_initialization import base_weights, write_weights
from learngene_bench.models.spec import ModelSpec
from learngene_bench.models.vit import build_model
from learngene_bench.util.rng import RngStreams


def new_model(spec: ModelSpec, base: BaseInitialization, seed: int, drop_path: float = 0.0) -> VisionTransformer:
    """A model on the CPU whose weights are the base initialization, drawn from the seed."""
    model = build_model(spec, drop_path=drop_path)
    write_weights(model, base_weights(spec, base, RngStreams(seed).generator("weights")))
    return model


def training_images(splits: Splits, recipe: Recipe, device: torch.device, loaders: int = 0) -> SplitImages:
    """The training split as this recipe shows it: under its augmentation, then under the task's own.

    Args:
        loaders: processes that load images, where images are loaded one by one; 0 for this one.
    """
    augmentations = tuple(a for a in (recipe.augmentation, splits.task) if a != Augmentation())
    return _shown(splits.train, splits, device, loaders, augmentations)


def plain_images(split: Split, splits: Splits, device: torch.device, loaders: int = 0) -> SplitImages:
    """One of the splits without augmentation."""
    return _shown(split, splits, device, loaders)


def _shown(
    split: Split,
    splits: Splits,
    device: torch.device,
    loaders: int,
    augmentations: tuple[Augmentation, ...] = (),
) -> SplitImages:
    """In the device's memory if the images can be there and are augmented in batches, else streamed."""
    if isinstance(split, Images) and not any(augmentation.one_by_one for augmentation in augmentations):
        return DeviceImages(split, normalization(splits), device, augmentations)
    return StreamedImages(split, normalization(splits), device, augmentations, loaders)


def source_data(
    splits: Splits, classes: int, recipes: Mapping[str, Recipe], device: torch.device, loaders: int = 0
) -> SourceData:
    """The source task as a method may see it: no test image, though of images on disk the folder that they lie in.

    Args:
        recipes: those that the method said it trains by, by name.
        loaders: see `training_images`.
    """
    return SourceData(
        train={name: training_images(splits, recipe, device, loaders) for name, recipe in recipes.items()},
        plain=plain_images(splits.train, splits, device, loaders),
        validation=plain_images(splits.validation, splits, device, loaders),
        classes=classes,
    )


def normalization(splits: Splits) -> Normalization:
    return Normalization(splits.mean, splits.std)
