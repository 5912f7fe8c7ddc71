"""The targets of a plan: models of every size, width and depth that a grid asks for, on every task."""

from __future__ import annotations

from dataclasses import dataclass, replace

from learngene_bench.config.grid import Grid
from learngene_bench.config.loader import build_options
from learngene_bench.config.preset import Preset
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import DEFAULT_FAMILY, FAMILIES, ModelFamily, ModelSpec, family_of
from learngene_bench.planning.tasks import Task, tasks_of
from learngene_bench.util.errors import UserError, unknown


@dataclass(frozen=True)
class Target:
    """A model to initialize, and the task that it is fine-tuned on.

    Attributes:
        size: name of the preset's size that it belongs to.
        base: the model that the size is named after, on the source task.
    """

    size: str
    base: ModelSpec
    spec: ModelSpec
    task: Task


def targets_of(preset: Preset, grid: Grid, source: Task) -> list[Target]:
    """Returns every target of a grid: sizes, within them widths, within them depths, within them tasks.

    Raises:
        UserError: the grid names an unknown size or task, or sizes are impossible.
    """
    tasks = tasks_of(preset, grid, source)
    return [
        Target(size, base, _on(task, family_of(base).widened(base, factor).with_depth(depth)), task)
        for size, base in _bases(preset, grid, source).items()
        for factor in dict.fromkeys(grid.width_factors)
        for depth in dict.fromkeys(grid.depths)
        for task in tasks
    ]


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
