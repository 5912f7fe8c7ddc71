"""How a network is trained: length, batches, rates, regularization, augmentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from learngene_bench.config.messages import format_validation_error
from learngene_bench.config.section import LATER, Section

RAND_AUGMENT = r"rand(-(m|n|mmax|inc)\d+|-(p|mstd)\d+(\.\d+)?)*"
"""The sections of timm's string: magnitude, layers, largest magnitude, increasing; probability, deviation."""


class RandomCrop(Section):
    """timm's random resized crop: a random part of an image, resized to the size that networks see."""

    scale: tuple[float, float] = Field((0.08, 1.0), description="part of the image's area, smallest and largest")
    ratio: tuple[float, float] = Field((0.75, 4 / 3), description="width over height, smallest and largest")
    interpolation: Literal["bicubic", "bilinear", "random"] = Field("bicubic", description="random: either of the two")

    @model_validator(mode="after")
    def _ascending(self) -> RandomCrop:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale is two numbers above 0 and up to 1, the smaller one first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError("ratio is two numbers above 0, the smaller one first")
        return self


class Augmentation(Section):
    """What is drawn anew for every training image. Defaults change nothing.

    A random crop and RandAugment are timm's and work on one image at a time, in processes that load images. With one of
    them flip and colour jitter do so too, and all four are what `timm.data.create_transform` makes of them, in its
    order. Everything else is done on the training device, to a batch at a time.
    """

    shift: int = Field(0, ge=0, description="largest random translation, pixels; the border is filled with zeros")
    flip: bool = Field(False, description="mirror left and right with probability 1/2")
    noise: float = Field(0.0, ge=0, description="standard deviation of added Gaussian noise, white being 1")
    color_jitter: float = Field(0.0, ge=0, lt=1, description="strength of brightness, contrast and saturation jitter")
    random_erasing: float = Field(0.0, ge=0, le=1, description="probability of erasing a rectangle of 2 to 33 % area")
    erased_to: Literal["grey", "noise"] = Field(
        "grey",
        description="noise: timm's mode 'pixel', normal noise in place of normalised pixels",
        json_schema_extra=LATER,
    )
    random_crop: RandomCrop | None = Field(
        None, description="random resized crop; none when absent", json_schema_extra=LATER
    )
    auto_augment: str | None = Field(
        None,
        description="RandAugment by timm's string, 'rand-m9-mstd0.5-inc1'; with it, as in timm, no colour jitter",
        json_schema_extra=LATER,
    )

    @field_validator("auto_augment")
    @classmethod
    def _known_to_timm(cls, policy: str | None) -> str | None:
        if policy is not None and not re.fullmatch(RAND_AUGMENT, policy):
            raise ValueError("timm's string for RandAugment is needed, such as rand-m9-mstd0.5-inc1")
        return policy

    @property
    def one_by_one(self) -> bool:
        """Whether a part of it works on one image at a time."""
        return self.random_crop is not None or self.auto_augment is not None

    @property
    def batched(self) -> Augmentation:
        """The part that works on a batch at a time."""
        if not self.one_by_one:
            return self
        return self.model_copy(update={"random_crop": None, "auto_augment": None, "flip": False, "color_jitter": 0.0})


class Recipe(Section):
    """How a network is trained. One of `epochs` and `iterations` is given."""

    epochs: float | None = Field(None, ge=0)
    iterations: int | None = Field(None, ge=0)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    minimum_learning_rate: float = Field(1e-5, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)
    warmup_learning_rate: float = Field(1e-6, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    clip_gradient: float | None = Field(None, gt=0, description="largest norm of the whole gradient")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    drop_path: float = Field(0.0, ge=0, lt=1)
    evaluate_every: int = Field(
        1, ge=1, description="epochs between two measurements of a target", json_schema_extra=LATER
    )
    augmentation: Augmentation = Augmentation()
    networks: int = Field(
        1, ge=1, description="of a hypernetwork: how many models each batch is shown to", json_schema_extra=LATER
    )
    repeated_augmentation: int = Field(
        1,
        ge=1,
        description="times that an image comes in a row, each augmented anew (3 in DeiT)",
        json_schema_extra=LATER,
    )
    drop_last: bool = Field(True, description="leave out the last, partial batch of an epoch", json_schema_extra=LATER)

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("give either epochs or iterations")
        return self

    def steps(self, images: int) -> int:
        """Optimizer steps on a training set of this many images."""
        if self.iterations is not None:
            return self.iterations
        assert self.epochs is not None
        return round(self.epochs * self.steps_per_epoch(images))

    def steps_per_epoch(self, images: int) -> int:
        whole, rest = divmod(self.epoch_length(images), self.batch_size)
        least = 2 if self.mixup or self.cutmix else 1  # mixed in pairs
        return max(1, whole + (rest >= least and not self.drop_last))

    def epoch_length(self, images: int) -> int:
        """Images of an epoch, an image counted each time, before partial batches are dropped.

        Repeated augmentation makes no epoch longer, it shows fewer images; it rounds to 256 as DeiT's `samplers.py`.
        """
        rounded = images - images % 256 if self.repeated_augmentation > 1 else 0
        return rounded or images


def changed_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with other values; a length given in either unit replaces the length."""
    if not changes:
        return recipe
    values = recipe.model_dump()
    if changes.keys() & {"epochs", "iterations"}:
        values.update(epochs=None, iterations=None)
    return Recipe.model_validate(_merged(values, changes))


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values with those of the changes in their place; of sections only what is changed in them."""
    merged = dict(values)
    for name, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if inner else value
    return merged


def check_recipe_changes(recipe: Recipe, changes: Mapping[str, Any], where: str) -> None:
    try:
        changed_recipe(recipe, changes)
    except ValidationError as error:
        raise ValueError(f"{where}: {format_validation_error(Recipe, error)}") from error
