"""Builds what stages, checks and library calls hand to a method: models, and data without the test split."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.dataset import Split, Splits
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.data.batch_augment import DeviceImages, Normalization, SplitImages
from learngene_bench.data.dataloader import StreamedImages
from learngene_bench.data.map_files import MapFiles
from learngene_bench.data.map_loader import MapImages
from learngene_bench.data.splits import Images
from learngene_bench.models.weights import build_model, drawn_weights, write_weights
from learngene_bench.training.context import SourceData
from learngene_bench.util.rng import Role


def new_model(
    spec: ModelSpec, base: BaseInitialization, seed: int, drop_path: float = 0.0, *, role: Role = "target"
) -> nn.Module:
    """Returns a model on the CPU whose weights are the base initialization, drawn from the seed for its role."""
    model = build_model(spec, drop_path=drop_path)
    write_weights(model, drawn_weights(spec, base, seed, role))
    return model


def training_images(
    splits: Splits, recipe: Recipe, device: torch.device, num_workers: int = 0, kind: TaskKind | None = None
) -> SplitImages:
    """Returns the training split under the recipe's augmentation, then under the task's own.

    Args:
        num_workers: processes that load images, where images are loaded one by one; 0 to load them in this one.
        kind: task kind of the data; classification if not given.
    """
    augmentations = tuple(a for a in (recipe.augmentation, splits.task) if a != Augmentation())
    return _images(splits.train, splits, device, num_workers, augmentations, kind)


def plain_images(split: Split, splits: Splits, device: torch.device, num_workers: int = 0) -> SplitImages:
    """Returns one of the splits without augmentation."""
    return _images(split, splits, device, num_workers)


def _images(
    split: Split,
    splits: Splits,
    device: torch.device,
    num_workers: int,
    augmentations: tuple[Augmentation, ...] = (),
    kind: TaskKind | None = None,
) -> SplitImages:
    """Keeps the split in the device's memory if it can be there and is augmented in batches, else streams it."""
    if isinstance(split, MapFiles):
        return MapImages(split, normalization(splits), device, augmentations, kind, num_workers)
    if isinstance(split, Images) and not any(augmentation.one_by_one for augmentation in augmentations):
        return DeviceImages(split, normalization(splits), device, augmentations, kind)
    return StreamedImages(split, normalization(splits), device, augmentations, kind, num_workers)


def source_data(
    splits: Splits,
    classes: int,
    recipes: Mapping[str, Recipe],
    device: torch.device,
    num_workers: int = 0,
    kind: TaskKind | None = None,
) -> SourceData:
    """Returns the source task as a method may see it: no test image, though for images on disk their folder.

    Args:
        classes: outputs of a model's head.
        recipes: those that the method said it trains by, by name.
        num_workers, kind: see `training_images`.
    """
    return SourceData(
        train={name: training_images(splits, recipe, device, num_workers, kind) for name, recipe in recipes.items()},
        plain=plain_images(splits.train, splits, device, num_workers),
        validation=plain_images(splits.validation, splits, device, num_workers),
        classes=classes,
        kind=kind or task_kind(),
    )


def normalization(splits: Splits) -> Normalization:
    """Returns the normalisation of the splits' images."""
    return Normalization(splits.mean, splits.std)
