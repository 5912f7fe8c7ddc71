"""Training data as a library user has them: a data set of the suite, or arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngene_bench.contracts.dataset import Dataset, Splits
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.data.splits import Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError, first_line

DataLike = str | Mapping[str, Any] | Dataset | tuple[Any, Any]
HOLD_OUT = 10
"""Every 10th image of arrays is for validation."""


@dataclass(frozen=True)
class TrainingData:
    """Data that a method may train on.

    Attributes:
        classes: None for arrays, whose labels need not have every class.
    """

    splits: Splits
    classes: int | None

    def check_fits(self, spec: ModelSpec) -> None:
        """Raises `UserError` if a model of this spec cannot be trained on these data."""
        channels, height, width = self.splits.train.shape
        if (channels, height, width) != spec.image_shape():
            raise UserError(
                f"data: the images are {channels} x {height} x {width}, what is trained on them takes "
                + " x ".join(map(str, spec.image_shape()))
            )
        classes = self.classes
        if classes is None:
            classes = int(max(self.splits.train.labels.max(), self.splits.validation.labels.max())) + 1
        if classes > spec.classes or self.classes not in (None, spec.classes):
            raise UserError(f"data: {classes} classes, what is trained on them has {spec.classes}")


def load_training_data(data: DataLike) -> TrainingData:
    """Reads data.

    Args:
        data: a data set's name; its name and options; a `Dataset`; or (images, labels) as arrays or tensors, uint8 of
            shape (N, C, H, W) and integers of shape (N,).

    Raises:
        UserError: no such data set, or arrays of another shape or type.
    """
    if isinstance(data, str):
        data = {"name": data}
    if isinstance(data, Mapping):
        data = dataset(dict(data))
    if isinstance(data, Dataset):
        return TrainingData(data.load(), data.facts().classes)
    if not (isinstance(data, tuple | list) and len(data) == 2):
        raise UserError(f"data: a data set by name, or (images, labels), not {type(data).__name__}")
    try:
        images, labels = (np.asarray(part) for part in data)
    except (TypeError, ValueError, RuntimeError) as error:  # images of several shapes, a tensor of a GPU
        raise UserError(f"data: images and labels are arrays, or tensors on the CPU: {first_line(error)}") from error
    return TrainingData(_splits(images, labels), None)


def _splits(images: NDArray[Any], labels: NDArray[Any]) -> Splits:
    if images.dtype != np.uint8 or images.ndim != 4:
        raise UserError(f"data: images are uint8 of shape (N, C, H, W), not {images.dtype} of shape {images.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise UserError(f"data: labels are integers of shape {images.shape[:1]}, not {labels.dtype} of {labels.shape}")
    if labels.size and labels.min() < 0:
        raise UserError(f"data: labels are the numbers of classes, from 0, not {labels.min()}")
    if len(images) < HOLD_OUT:
        raise UserError(f"data: {len(images)} images, at least {HOLD_OUT} are needed")
    labels = labels.astype(np.int64)
    held = np.arange(len(images)) % HOLD_OUT == HOLD_OUT - 1
    train, validation = (Images(images[part], labels[part]) for part in (~held, held))
    pixels = train.images / 255.0
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    nothing = Images(images[:0], labels[:0])
    return Splits(train, validation, nothing, tuple(mean.tolist()), tuple(np.maximum(std, 1e-6).tolist()))
