"""A preset says at which scale one measures: data, model sizes, recipes, downstream tasks, compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from learngene_bench.config.messages import format_validation_error
from learngene_bench.config.recipe import RECIPES, Recipe, follow_fallbacks
from learngene_bench.config.section import Section
from learngene_bench.util.errors import unknown

Split = Literal["test", "validation"]
"""Images that metrics are measured on."""

Precision = Literal["float32", "bfloat16"]

QUICK = "-quick"
"""End of the name of a preset that was cut down to a few steps, by which quick results are known."""


class BaseInitialization(Section):
    """The initialization of every tensor that no method writes: of ancestors, templates, heads of other tasks.

    `truncated-normal` is timm's own: matrices of std .02, weight and bias of the patch convolution as torch leaves
    them; the control `timm` draws by it in every preset. `xavier` is Xavier-uniform with q, k and v as three matrices,
    the bias of the patch convolution 0 (MoCo-v3, `vits.py`), which very small models need to learn at all.
    """

    renamed: ClassVar = {"matrices": "weight_init"}

    weight_init: Literal["truncated-normal", "xavier"] = Field(
        "truncated-normal", description="distribution of weight matrices"
    )
    position_std: float = Field(0.02, ge=0, description="standard deviation of the position embedding")


class _HasRecipes(Section):
    """A section whose recipes once stood beside its other settings, `[condensation]`."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_former_places(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, Mapping) else ():
            if name not in cls.model_fields and isinstance(value, Mapping) and value.keys() & Recipe.model_fields:
                raise ValueError(f"{name} is now recipes.{'finetuning' if name == 'tuning' else name}")
        return values


class Teacher(Section):
    """The ancestor that condensation distils from, one for all sizes and seeds of a preset."""

    architecture: str = Field(description="'convnet' (small, built in) or any timm model name")
    width: int = Field(32, ge=1, description="channels of the convnet's first stage")
    pretrained: bool = Field(
        False, description="load timm's pretrained weights, whose head must fit, instead of training"
    )
    checkpoint: Path | None = Field(None, description="load this file (safetensors or weights-only) instead")
    seed: int = Field(0, description="seed of its training, whatever the seed of the cells")
    recipe: Recipe | None = Field(None, description="training recipe, if nothing is loaded")

    @property
    def is_loaded(self) -> bool:
        """True if its weights are loaded, False if it is trained."""
        return self.pretrained or self.checkpoint is not None

    @model_validator(mode="after")
    def _can_be_made(self) -> Teacher:
        if self.recipe is None and not self.is_loaded:
            raise ValueError("give a recipe, pretrained = true, or a checkpoint")
        if self.recipe is not None:
            _check(self.recipe, {}, "teacher", "recipe")
        return self


class Size(_HasRecipes):
    """One model size. Each recipe field overrides the preset's recipe for this size."""

    width: int = Field(ge=1, description="embedding dimension of its models")
    recipes: dict[str, dict[str, Any]] = Field({}, description="changes to the preset's recipes, by name")


class AncestorSource(Section):
    """The source of ancestors that are Vision Transformers, when they are not trained by `pretraining`."""

    timm: str | None = Field(None, description="name of a timm model with pretrained weights")
    checkpoint: Path | None = Field(None, description="a file of weights, safetensors or weights-only")

    @property
    def is_given(self) -> bool:
        """True if ancestors are loaded, False if they are trained."""
        return self.timm is not None or self.checkpoint is not None

    @model_validator(mode="after")
    def _is_one_source(self) -> AncestorSource:
        if self.timm is not None and self.checkpoint is not None:
            raise ValueError("give timm or checkpoint, not both")
        return self


class Compute(Section):
    """The way numbers are computed.

    All but the last three are part of a result's address, `device` as what it comes to: the order of sums depends on
    them.
    """

    renamed: ClassVar = {"loaders": "num_workers"}

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: GPUs where there are any")
    threads: int = Field(1, ge=1, description="CPU threads of one process")
    precision: Precision = Field("float32", description="precision of matrix products")
    compile: bool = Field(False, description="compile models with torch.compile")
    checkpoint_seconds: float = Field(20.0, gt=0, description="a killed run loses at most this much")
    num_workers: int | None = Field(
        None,
        ge=0,
        description="processes that load and augment images one by one, beside each that trains; absent: its cores",
    )
    keep_probabilities: bool = Field(
        False, description="keep the probability of every class with the predictions, two bytes for each and image"
    )


class DownstreamTask(Section):
    """A task that targets are fine-tuned on after they were initialized from what was learned on the source task."""

    data: dict[str, Any] = Field(description="`name` of the data set, and that data set's own options")
    kind: str = Field("classification", description="task kind of the data: grids choose tasks by it")
    recipe: dict[str, Any] = Field({}, description="changes to the downstream recipe")


class Downstream(Section):
    """The tasks on which transfer is measured, by the name that tables print, and the recipe of fine-tuning on them."""

    recipe: Recipe = Field(description="fine-tuning on every task")
    tasks: dict[str, DownstreamTask] = Field(min_length=1, description="tasks by name")

    @model_validator(mode="after")
    def _has_valid_recipes(self) -> Downstream:
        _check(self.recipe, {}, "downstream", "recipe")
        for name, task in self.tasks.items():
            _check(self.recipe, task.recipe, "downstream", f"tasks.{name}.recipe")
        return self

    def recipe_of(self, task: str) -> Recipe:
        """Returns the recipe as this task changes it."""
        return self.recipe.changed_by(self.tasks[task].recipe)

    def of_kind(self, kind: str) -> list[str]:
        """Names the tasks of this kind."""
        return [name for name, task in self.tasks.items() if task.kind == kind]


class Preset(_HasRecipes):
    """The scale at which one measures, as the size, the grid and the user have changed it (see `merge.py`)."""

    renamed: ClassVar = {"tuning": "recipes.finetuning"}

    name: str = Field(description="name in tables and for `--preset`")
    title: str = Field(description="one line for `lgbench list`")
    data: dict[str, Any] = Field(description="`name` of the data set, and that data set's own options")
    model: dict[str, Any] = Field(
        {}, description="`family` of the models ('vit' when absent), and that family's own settings"
    )
    sizes: dict[str, Size] = Field(min_length=1, description="model sizes by name")
    base: BaseInitialization = BaseInitialization()
    teacher: Teacher
    ancestor: AncestorSource = AncestorSource()
    recipes: dict[str, Recipe] = Field(
        description=f"recipes by name: {', '.join(RECIPES)}, and those that methods declare"
    )
    downstream: Downstream | None = Field(None, description="absent where transfer is not measured")
    evaluation_split: Split = Field("test", description="images that metrics are measured on")
    compute: Compute = Compute()

    @field_validator("name")
    @classmethod
    def _is_not_that_of_quick_runs(cls, name: str) -> str:
        if name.endswith(QUICK):
            raise ValueError(f"a name that ends in {QUICK} is one of --quick")
        return name

    @model_validator(mode="after")
    def _has_all_recipes(self) -> Preset:
        if missing := [f"recipes.{name}" for name in RECIPES if name not in self.recipes]:
            raise ValueError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
        for name, recipe in self.recipes.items():
            _check(recipe, {}, name, f"recipes.{name}")
        for size_name, size in self.sizes.items():
            for name, changes in size.recipes.items():
                where = f"sizes.{size_name}.recipes.{name}"
                if name not in self.recipes:
                    raise ValueError(f"{where}: {unknown('recipe of the preset', name, self.recipes)}")
                _check(self.recipes[name], changes, name, where)
        return self

    def recipe_of(self, name: str, width: int, fallbacks: Mapping[str, str] | None = None) -> Recipe:
        """Returns the recipe of this name for models of this width, as the size nearest to it changes it.

        Args:
            fallbacks: which recipe stands in for one that the preset has not, by name, as a method declares them.

        Raises:
            UserError: neither the preset has the recipe nor do the fallbacks lead to one.
        """
        found = follow_fallbacks(name, self.recipes, fallbacks or {})
        if found is None:
            raise unknown(f"recipe of preset {self.name!r}", name, self.recipes)
        return self.recipes[found].changed_by(self.sizes[self.size_at(width)].recipes.get(found, {}))

    def size_at(self, width: int) -> str:
        """Names the size whose recipes models of this width have: the widest that is no wider, else the narrowest."""
        by_width = sorted(self.sizes, key=lambda name: self.sizes[name].width)
        return ([name for name in by_width if self.sizes[name].width <= width] or by_width[:1])[-1]


def _check(recipe: Recipe, changes: Mapping[str, Any], name: str, where: str) -> None:
    """Raises `ValueError`, naming `where`, unless a recipe with these changes can be the one of this name."""
    try:
        recipe.changed_by(changes).check_used_by(name)
    except ValueError as error:  # a ValidationError is one
        message = format_validation_error(Recipe, error) if isinstance(error, ValidationError) else str(error)
        raise ValueError(f"{where}: {message}") from error
