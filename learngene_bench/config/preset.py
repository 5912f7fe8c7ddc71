"""A preset says at which scale one measures: data, model sizes, recipes, downstream tasks, compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from learngene_bench.config.recipe import Recipe, changed_recipe, check_recipe_changes
from learngene_bench.config.section import LATER, Section


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
    pretraining: dict[str, Any] = Field({})
    condensation: dict[str, Any] = Field({})
    hypernetwork: dict[str, Any] = Field({})
    inheritance: dict[str, Any] = Field({})
    tuning: dict[str, Any] = Field({})


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
            check_recipe_changes(self.recipe, task.recipe, f"tasks.{name}.recipe")
        return self

    def recipe_of(self, task: str) -> Recipe:
        """The recipe as this task changes it."""
        return changed_recipe(self.recipe, self.tasks[task].recipe)


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
                check_recipe_changes(
                    getattr(self, kind) or self.condensation, getattr(size, kind), f"sizes.{name}.{kind}"
                )
        return self

    def recipe_of(self, kind: RecipeName, width: int) -> Recipe:
        """The recipe of this kind for models of this width.

        Widths between two sizes have what the narrower one has; narrower ones than all, what the narrowest has.
        """
        sizes = sorted(self.sizes.values(), key=lambda size: size.width)
        nearest = [size for size in sizes if size.width <= width][-1:] or sizes[:1]
        recipe = getattr(self, kind) or self.recipe_of("condensation", width)
        return changed_recipe(recipe, getattr(nearest[0], kind))
