"""Presets and grids: the settings of a run, as types; `presets.py` reads them from files.

A *preset* says at which scale one measures (data, sizes, recipes); a *grid* says which targets. Everything a
result depends on is a field here or an option of a method or data set, so that it ends in the result's address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.config import JsonDict

from learngene_bench.config.messages import first_problem

LATER: JsonDict = {"later": True}
"""Marks a field (`json_schema_extra=LATER`) that came after results were addressed without it."""


class Section(BaseModel):
    """A group of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _without_unused_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is dumped becomes part of addresses: a new field changes none of them while it has its default."""
        return {name: value for name, value in handler(self).items() if not self._is_unused(name)}

    def _is_unused(self, name: str) -> bool:
        field = type(self).model_fields[name]
        return field.json_schema_extra == LATER and getattr(self, name) == field.get_default(call_default_factory=True)


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


class Architecture(Section):
    """What all Vision Transformers of a preset share; see `ModelSpec`."""

    patch_size: int
    head_dimension: int = Field(ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    class_token: bool = False
    irpe: bool = False


class BaseInitialization(Section):
    """Where every tensor starts that no method writes: ancestors, templates, heads, and the `timm` control's base.

    `truncated-normal` is timm's own (std .02, patch convolution left at torch's default); `xavier` is Xavier-uniform
    with q, k and v as three matrices (MoCo-v3, `vits.py`), which very small models need to learn at all.
    """

    matrices: Literal["truncated-normal", "xavier"] = "truncated-normal"
    position_std: float = Field(0.02, ge=0, description="standard deviation of the position embedding")


class Teacher(Section):
    """The ancestor that condensation distils from: one for all sizes and seeds of a preset."""

    architecture: str = Field(description="'convnet' (small, built in) or any timm model name")
    width: int = Field(32, ge=1, description="channels of the convnet's first stage", json_schema_extra=LATER)
    pretrained: bool = Field(False, description="load timm's pretrained weights instead of training")
    checkpoint: Path | None = Field(None, description="load this file (safetensors or weights-only) instead")
    seed: int = 0
    recipe: Recipe | None = Field(None, description="how it is trained when nothing is loaded")

    @model_validator(mode="after")
    def _from_somewhere(self) -> Teacher:
        if self.recipe is None and not self.pretrained and self.checkpoint is None:
            raise ValueError("give a recipe, pretrained = true, or a checkpoint")
        return self


RecipeName = Literal["pretraining", "condensation", "hypernetwork", "inheritance", "tuning"]


class Size(Section):
    """A model size of the preset, and what its recipes have other than the preset's: `{batch_size = 256}`."""

    width: int = Field(ge=1)
    pretraining: dict[str, Any] = {}
    condensation: dict[str, Any] = {}
    hypernetwork: dict[str, Any] = {}
    inheritance: dict[str, Any] = {}
    tuning: dict[str, Any] = {}


class AncestorSource(Section):
    """Where ancestors that are Vision Transformers come from, when they are not trained by `pretraining`."""

    timm: str | None = Field(None, description="name of a timm model with pretrained weights")
    checkpoint: Path | None = Field(None, description="a file of weights, safetensors or weights-only")

    @model_validator(mode="after")
    def _one_source(self) -> AncestorSource:
        if self.timm is not None and self.checkpoint is not None:
            raise ValueError("give timm or checkpoint, not both")
        return self


class Compute(Section):
    """How numbers are computed. `threads` is part of a result's address: summation order depends on it."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, description="CPU threads of one process")
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    checkpoint_seconds: float = Field(20.0, gt=0, description="a killed run loses at most this much")
    loaders: int | None = Field(
        None,
        ge=0,
        description="processes that load and augment images one by one, beside each that trains; absent: its cores",
        json_schema_extra=LATER,
    )


class DownstreamTask(Section):
    """A task that targets are tuned on after they were initialized from what was learned on the source task."""

    data: dict[str, Any] = Field(description="`name` of the data set, and that data set's own options")
    recipe: dict[str, Any] = Field({}, description="what its recipe has other than the downstream recipe")


class Downstream(Section):
    """Where transfer is measured: tasks by the name that tables print, and how targets are tuned on them."""

    recipe: Recipe
    tasks: dict[str, DownstreamTask] = Field(min_length=1)

    @model_validator(mode="after")
    def _valid_recipes_of_tasks(self) -> Downstream:
        for name, task in self.tasks.items():
            _checked_recipe(self.recipe, task.recipe, f"tasks.{name}.recipe")
        return self

    def recipe_of(self, task: str) -> Recipe:
        """The recipe as this task changes it."""
        return _changed(self.recipe, self.tasks[task].recipe)


class Preset(Section):
    """At which scale one measures."""

    name: str
    title: str
    data: dict[str, Any] = Field(description="`name` of the data set, and that data set's own options")
    model: Architecture
    sizes: dict[str, Size] = Field(min_length=1)
    base: BaseInitialization = BaseInitialization()
    teacher: Teacher
    ancestor: AncestorSource = AncestorSource()
    pretraining: Recipe
    condensation: Recipe
    hypernetwork: Recipe | None = Field(None, description="that of condensation when not given")
    inheritance: Recipe
    tuning: Recipe
    downstream: Downstream | None = None
    evaluation_split: Literal["test", "validation"] = "test"
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _settings_where_they_count(self) -> Preset:
        for kind in get_args(RecipeName):
            recipe: Recipe | None = getattr(self, kind)
            if recipe and kind != "hypernetwork" and recipe.networks != 1:
                raise ValueError(f"{kind}.networks: only the recipe 'hypernetwork' has it")
            if recipe and kind != "tuning" and recipe.evaluate_every != 1:
                raise ValueError(f"{kind}.evaluate_every: only the recipes of tuning and downstream tasks have it")
        return self

    @model_validator(mode="after")
    def _valid_recipes_of_sizes(self) -> Preset:
        for name, size in self.sizes.items():
            for kind in get_args(RecipeName):
                _checked_recipe(getattr(self, kind) or self.condensation, getattr(size, kind), f"sizes.{name}.{kind}")
        return self

    def recipe_of(self, kind: RecipeName, width: int) -> Recipe:
        """The recipe of this kind for models of this width.

        Widths between two sizes have what the narrower one has; narrower ones than all, what the narrowest has.
        """
        sizes = sorted(self.sizes.values(), key=lambda size: size.width)
        nearest = [size for size in sizes if size.width <= width][-1:] or sizes[:1]
        recipe = getattr(self, kind) or self.recipe_of("condensation", width)
        return _changed(recipe, getattr(nearest[0], kind))


def _changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
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


def _checked_recipe(recipe: Recipe, changes: Mapping[str, Any], where: str) -> None:
    try:
        _changed(recipe, changes)
    except ValidationError as error:
        raise ValueError(f"{where}: {first_problem(Recipe, error)}") from error


class Grid(Section):
    """What is measured: every size of the preset at every depth, every width and on every task."""

    name: str
    title: str
    axis: Literal["depth", "width", "task"] = Field(description="what a table's columns differ in")
    depths: list[int] = Field(min_length=1)
    width_factors: list[Annotated[float, Field(ge=1)]] = Field(
        [1.0], min_length=1, description="widths over the size's own; rounded up to whole heads"
    )
    sizes: list[str] | Literal["all", "middle"] = Field(
        "all", description="names of the preset's sizes; or its middle one by width"
    )
    tasks: list[str] | None = Field(
        None, min_length=1, description="of axis 'task': names of the preset's downstream tasks; all when absent"
    )
    methods: str | None = Field(None, description="the rows when --method is not given, written like it")
    tuning_factor: float = Field(1.0, gt=0, description="length of the targets' ordinary training over the preset's")

    @model_validator(mode="after")
    def _one_axis(self) -> Grid:
        if self.tasks is not None and self.axis != "task":
            raise ValueError(f"tasks belong to a grid of axis 'task', not {self.axis!r}")
        if isinstance(self.sizes, list) and not self.sizes:
            raise ValueError("sizes is empty")
        return self

    def tuned(self, recipe: Recipe) -> Recipe:
        """The recipe of ordinary training, as long as this grid asks for."""
        if self.tuning_factor == 1:
            return recipe
        if recipe.epochs is not None:
            return recipe.model_copy(update={"epochs": recipe.epochs * self.tuning_factor})
        assert recipe.iterations is not None
        return recipe.model_copy(update={"iterations": round(recipe.iterations * self.tuning_factor)})
