"""The targets of a plan: models of every size, width and depth that a grid asks for, on every task."""

from __future__ import annotations

from dataclasses import dataclass, replace

from learngene_bench.config.grid import Grid
from learngene_bench.config.loader import build_options
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import DEFAULT_FAMILY, FAMILIES, ModelFamily, ModelSpec, family_of
from learngene_bench.contracts.task import CLASSIFICATION
from learngene_bench.data.subsets import part_size
from learngene_bench.planning.tasks import Task, tasks_of
from learngene_bench.schema.provenance import Part, TaskData
from learngene_bench.util.errors import UserError, unknown


@dataclass(frozen=True)
class Target:
    """A model to initialize, and the task that it is fine-tuned on.

    Attributes:
        size: name of the preset's size that it belongs to.
        width: that of the size; it decides the recipes.
        base: the model that the size is named after, on the source task.
        source: the trained model that methods take weights from, on the source task; None if each chooses its own.
        horizon: length of its fine-tuning over the recipe's.
        share: percentage of the task's training images that it is fine-tuned on.
    """

    size: str
    width: int
    base: ModelSpec
    spec: ModelSpec
    task: Task
    source: ModelSpec | None = None
    horizon: float = 1.0
    share: float = 100.0

    @property
    def train_images(self) -> int:
        """Number of images that it is fine-tuned on."""
        facts = self.task.facts
        return part_size(facts.train_images, facts.classes, self.share) if self.share < 100 else facts.train_images

    def task_data(self, seed: int) -> TaskData:
        """Returns the data of its task as they stand in an address; a part is another one for every seed."""
        part = Part(share=self.share, seed=seed) if self.share < 100 else None
        return TaskData(data=self.task.identity, part=part)

    def finetuning(self, recipe: Recipe) -> Recipe:
        """Returns the recipe of the whole training set for what this target is fine-tuned on, and for how long."""
        return recipe.stretched(self.horizon).at_equal_steps(self.task.facts.train_images, self.train_images)


def targets_of(preset: Preset, grid: Grid, source: Task) -> list[Target]:
    """Returns every target of a grid: sizes, within them widths, depths, tasks, shares and horizons.

    Raises:
        UserError: the grid names an unknown size or task, sizes are impossible, or a share is asked for of images that
            have no class each.
    """
    tasks = tasks_of(preset, grid, source)
    for task in tasks:
        if grid.shares != [100] and task.facts.kind != CLASSIFICATION:
            raise UserError(
                f"grid {grid.name!r} draws shares of the training images by their classes, and task {task.name!r} is "
                f"of the kind {task.facts.kind!r}"
            )
    bases = _bases(preset, grid, source)
    sources = {size: _source(base, grid) for size, base in bases.items()}
    targets = [
        Target(size, base.width, base, _on(task, spec), task, sources[size], horizon, share)
        for size, base in bases.items()
        for factor in dict.fromkeys(grid.width_factors)
        for depth in dict.fromkeys(grid.depths)
        if (spec := family_of(base).widened(base, factor).with_depth(depth)) != sources[size]
        for task in tasks
        for share in dict.fromkeys(grid.shares)
        for horizon in dict.fromkeys(grid.horizons)
    ]
    if not targets:
        raise UserError(f"grid {grid.name!r} has no target but its source model ({_source(bases.popitem()[1], grid)})")
    return targets


def model_family(preset: Preset) -> tuple[ModelFamily, Section]:
    """Returns the family of a preset's models, and the options that they share.

    Raises:
        UserError: an unknown family, or settings that are not its own.
    """
    settings = {"family": DEFAULT_FAMILY, **preset.model}
    family = FAMILIES.get(str(settings.pop("family")))()
    return family, build_options(family.Architecture, settings, f"model ({family.name})")


def _bases(preset: Preset, grid: Grid, source: Task) -> dict[str, ModelSpec]:
    """Returns the base model of every size that the grid asks for."""
    family, architecture = model_family(preset)
    bases = {}
    for size in _sizes(preset, grid):
        try:
            bases[size] = family.base_spec(
                architecture,
                width=preset.sizes[size].width,
                image_size=source.facts.image_size,
                channels=source.facts.channels,
                classes=source.outputs,
            )
        except UserError as error:
            raise UserError(f"size {size!r}: {error}") from error
    return bases


def _source(base: ModelSpec, grid: Grid) -> ModelSpec | None:
    """Returns the trained model of a size that methods take weights from, if the grid names one."""
    if grid.source_model is None:
        return None
    return family_of(base).widened(base, grid.source_model.width_factor).with_depth(grid.source_model.depth)


def _sizes(preset: Preset, grid: Grid) -> list[str]:
    if grid.sizes == "all":
        return list(preset.sizes)
    if grid.sizes == "middle":
        by_width = sorted(preset.sizes, key=lambda size: preset.sizes[size].width)
        return [by_width[len(by_width) // 2]]
    for size in grid.sizes:
        if size not in preset.sizes:
            raise unknown(f"size of preset {preset.name!r}", size, preset.sizes)
    return list(grid.sizes)


def _on(task: Task, spec: ModelSpec) -> ModelSpec:
    """Fits a model of the source task to the images and classes of this task."""
    try:
        return replace(spec, image_size=task.facts.image_size, classes=task.outputs)
    except UserError as error:
        raise UserError(f"task {task.name!r}: {error}") from error
