"""Training recipes: length, batches, rates, regularization, augmentation."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from learngene_bench.config.section import Section, later

RECIPES = ("pretraining", "condensation", "inheritance", "finetuning")
"""Recipes that the harness itself trains by, so that every preset has them. A recipe of another name belongs to the
methods that declare it (`Initializer.recipe_fallbacks`)."""

_METHODS_OWN = "recipes that methods declare"

_USERS = {"evaluate_every": ("finetuning", "downstream"), "meta_batch_size": (_METHODS_OWN,)}
"""Fields that only some recipes use, with these; the other recipes refuse any value but the default."""

RAND_AUGMENT = r"rand(-(m|n|mmax|inc)\d+|-(p|mstd)\d+(\.\d+)?)*"
"""The sections of timm's string: magnitude, layers, largest magnitude, increasing; probability, deviation."""


class RandomCrop(Section):
    """timm's random resized crop: a random part of an image, resized to the input size of the network."""

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
    """Random changes of training images, drawn anew each time an image is seen. Defaults change nothing.

    Random crop and RandAugment are timm's and work on one image at a time, in the processes that load images. With
    either of them, flip and colour jitter do so too, and all four follow `timm.data.create_transform`. Everything else
    is applied to whole batches on the training device.
    """

    renamed: ClassVar = {"erased_to": "erase_value"}

    shift: int = Field(0, ge=0, description="largest random translation, pixels; the border is filled with zeros")
    flip: bool = Field(False, description="mirror left and right with probability 1/2")
    noise: float = Field(0.0, ge=0, description="standard deviation of added Gaussian noise, white being 1")
    color_jitter: float = Field(0.0, ge=0, lt=1, description="strength of brightness, contrast and saturation jitter")
    random_erasing: float = Field(0.0, ge=0, le=1, description="probability of erasing a rectangle of 2 to 33 % area")
    erase_value: Literal["grey", "noise"] = Field(
        "grey", description="noise: timm's mode 'pixel', normal noise in place of normalised pixels"
    )
    random_crop: RandomCrop | None = Field(None, description="random resized crop; none when absent or false")
    auto_augment: str | None = Field(
        None,
        description="RandAugment by timm's string, 'rand-m9-mstd0.5-inc1', with which timm has no colour jitter; none "
        "when absent or false",
    )

    @field_validator("random_crop", "auto_augment", mode="before")
    @classmethod
    def _is_none_where_it_is_false(cls, value: Any) -> Any:
        """TOML has no null, by which a task could be without what the common recipe has."""
        return None if value is False else value

    @field_validator("auto_augment")
    @classmethod
    def _is_known_to_timm(cls, policy: str | None) -> str | None:
        if policy is not None and not re.fullmatch(RAND_AUGMENT, policy):
            raise ValueError("timm's string for RandAugment is needed, such as rand-m9-mstd0.5-inc1")
        return policy

    @property
    def one_by_one(self) -> bool:
        """True if a part of it works on one image at a time."""
        return self.random_crop is not None or self.auto_augment is not None

    @property
    def batched(self) -> Augmentation:
        """Returns the part that works on whole batches."""
        if not self.one_by_one:
            return self
        return self.model_copy(update={"random_crop": None, "auto_augment": None, "flip": False, "color_jitter": 0.0})


class Recipe(Section):
    """A recipe to train a network. Either `epochs` or `iterations` is given."""

    renamed: ClassVar = {"clip_gradient": "grad_clip_norm", "networks": "meta_batch_size"}

    epochs: float | None = Field(None, ge=0, description="length in passes over the training set")
    iterations: int | None = Field(None, ge=0, description="length in optimizer steps")
    batch_size: int = Field(ge=1, description="images of an optimizer step")
    learning_rate: float = Field(gt=0, description="at the top of the schedule")
    minimum_learning_rate: float = Field(
        1e-5, ge=0, description="learning rate at the end of the schedule; learning_rate if that is lower"
    )
    warmup_epochs: float = Field(0.0, ge=0, description="epochs in which the learning rate rises linearly")
    warmup_learning_rate: float = Field(1e-6, ge=0, description="learning rate at the start of the warm-up")
    weight_decay: float = Field(0.05, ge=0, description="biases, norms and position embeddings have none")
    grad_clip_norm: float | None = Field(None, gt=0, description="largest norm of the whole gradient")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="probability given to all classes together")
    mixup: float = Field(0.0, ge=0, description="alpha of timm's Mixup; 0 for none")
    cutmix: float = Field(0.0, ge=0, description="alpha of timm's CutMix; 0 for none")
    drop_path: float = Field(0.0, ge=0, lt=1, description="stochastic depth: largest probability to skip a block")
    evaluate_every: int = Field(1, ge=1, description="epochs between two measurements of a target")
    augmentation: Augmentation = Field(Augmentation(), description="random changes of training images")
    meta_batch_size: int = Field(1, ge=1, description="number of models that a method trains through on each batch")
    repeated_augmentation: int = Field(
        1, ge=1, description="times that an image comes in a row, each augmented anew (3 in DeiT)"
    )
    drop_last: bool = Field(True, description="leave out the last, partial batch of an epoch")
    optimizer: Literal["adamw", "sgd"] = later(
        "adamw",
        protocol=3,
        description="sgd: momentum .9, not Nesterov's, as in Segmenter's released recipe",
    )
    schedule: Literal["cosine", "polynomial"] = later(
        "cosine", protocol=3, description="fall of the learning rate; polynomial: (1 - t/T)^.9, usual in segmentation"
    )

    @model_validator(mode="after")
    def _has_one_length(self) -> Recipe:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("give either epochs or iterations")
        return self

    def steps(self, images: int) -> int:
        """Returns the number of optimizer steps on a training set of this many images."""
        if self.iterations is not None:
            return self.iterations
        assert self.epochs is not None
        return round(self.epochs * self.steps_per_epoch(images))

    def steps_per_epoch(self, images: int) -> int:
        whole, rest = divmod(self.epoch_length(images), self.batch_size)
        least = 2 if self.mixup or self.cutmix else 1  # mixed in pairs
        return max(1, whole + (rest >= least and not self.drop_last))

    def epoch_length(self, images: int) -> int:
        """Counts the images of an epoch, an image each time it comes, before partial batches are dropped.

        Repeated augmentation makes no epoch longer, it shows fewer images; it rounds to 256 as DeiT's `samplers.py`.
        """
        rounded = images - images % 256 if self.repeated_augmentation > 1 else 0
        return rounded or images

    def batch_sizes(self, images: int) -> tuple[int, int]:
        """Returns the images of a batch and of an epoch's last batch; a training set that is smaller is one batch."""
        length = self.epoch_length(images)
        batch_size = min(self.batch_size, length)
        return batch_size, min(batch_size, length - (self.steps_per_epoch(images) - 1) * batch_size)

    def images_before(self, step: int, images: int) -> int:
        """Counts the images in the steps before this one, an image each time it comes.

        Args:
            images: images of the training set.
        """
        steps_per_epoch, (batch_size, last) = self.steps_per_epoch(images), self.batch_sizes(images)
        epochs, position = divmod(step, steps_per_epoch)
        return epochs * ((steps_per_epoch - 1) * batch_size + last) + position * batch_size

    def images_trained_on(self, images: int) -> int:
        """Counts the images of the whole training, an image each time it passes forward and back through a model.

        Args:
            images: images of the training set.
        """
        return self.images_before(self.steps(images), images) * self.meta_batch_size

    def steps_within(self, budget: int, images: int) -> int:
        """Returns the largest number of steps that have no more images in all than a budget.

        Args:
            budget: images, counted as by `images_before`. The steps are short of it by less than one batch.
            images: images of the training set.
        """
        steps_per_epoch, (batch_size, last) = self.steps_per_epoch(images), self.batch_sizes(images)
        epochs, rest = divmod(budget, (steps_per_epoch - 1) * batch_size + last)
        return epochs * steps_per_epoch + rest // batch_size

    def changed_by(self, changes: Mapping[str, Any]) -> Recipe:
        """Returns this recipe with other values. A length in either unit replaces the length.

        Raises:
            pydantic.ValidationError: a change names no field, or has a wrong value.
        """
        if not changes:
            return self
        values = self.model_dump()
        if changes.keys() & {"epochs", "iterations"}:
            values.update(epochs=None, iterations=None)
        return Recipe.model_validate(_merged(values, changes))

    def stretched(self, factor: float) -> Recipe:
        """Returns this recipe for a training that is so many times as long, with its whole schedule.

        Length, warm-up and the epochs between two measurements are multiplied. So the learning rate rises and falls
        over the same parts of training, and as many points of the learning curve are measured.
        """
        if factor == 1:
            return self
        return self.model_copy(
            update={
                "epochs": None if self.epochs is None else self.epochs * factor,
                "iterations": None if self.iterations is None else max(1, round(self.iterations * factor)),
                "warmup_epochs": self.warmup_epochs * factor,
                "evaluate_every": max(1, round(self.evaluate_every * factor)),
            }
        )

    def at_equal_steps(self, images: int, fewer: int) -> Recipe:
        """Returns this recipe for a part of a training set, in as many steps as on all of it.

        Warm-up and the epochs between two measurements are longer by as much as epochs are shorter, so that these are
        the same steps too. A part that is smaller than a batch is one batch.

        Args:
            images: images of the training set.
            fewer: images of the part.
        """
        if fewer == images:
            return self
        longer = self.steps_per_epoch(images) / self.steps_per_epoch(fewer)
        return self.model_copy(
            update={
                "epochs": None,
                "iterations": self.steps(images),
                "warmup_epochs": self.warmup_epochs * longer,
                "evaluate_every": max(1, round(self.evaluate_every * longer)),
            }
        )

    def check_used_by(self, recipe: str) -> None:
        """Raises `ValueError` if a field has a value that the recipe of this name does not use."""
        for name in self.unused_by(recipe):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"only {' and '.join(_USERS[name])} use {name}")

    @staticmethod
    def unused_by(recipe: str) -> list[str]:
        """Names the fields that the recipe of this name does not use."""
        user = recipe if recipe in (*RECIPES, "downstream", "teacher") else _METHODS_OWN
        return [name for name, users in _USERS.items() if user not in users]


def follow_fallbacks(name: str, recipes: Container[str], fallbacks: Mapping[str, str]) -> str | None:
    """Returns the first of these recipes to which a name and its fallbacks lead; None if they lead to none."""
    for _ in range(len(fallbacks) + 1):
        if name in recipes or name not in fallbacks:
            break
        name = fallbacks[name]
    return name if name in recipes else None


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces values by the changes; within a section only what the changes name."""
    merged = dict(values)
    for name, value in changes.items():
        is_section = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if is_section else value
    return merged
