"""`--quick`: the same preset and grid, cut down to a few steps on a few targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learngene_bench.config.grid import Grid
from learngene_bench.config.preset import QUICK, DownstreamTask, Preset, Size
from learngene_bench.config.recipe import Recipe

QUICK_ITERATIONS = 4


def quick_preset(preset: Preset) -> Preset:
    """Returns the same preset with a few steps of everything: numbers without meaning, in seconds."""
    teacher, downstream = preset.teacher, preset.downstream
    if teacher.recipe is not None:
        teacher = teacher.model_copy(update={"recipe": _quick(teacher.recipe)})
    if downstream is not None:
        tasks = {
            name: DownstreamTask(data=task.data, kind=task.kind, recipe=_but_length(task.recipe))
            for name, task in downstream.tasks.items()
        }
        downstream = downstream.model_copy(update={"recipe": _quick(downstream.recipe), "tasks": tasks})
    return preset.model_copy(
        update={
            "name": f"{preset.name}{QUICK}",
            "sizes": {name: _quick_size(size) for name, size in preset.sizes.items()},
            "teacher": teacher,
            "recipes": {name: _quick(recipe) for name, recipe in preset.recipes.items()},
            "downstream": downstream,
        }
    )


def quick_grid(grid: Grid, preset: Preset) -> Grid:
    """Returns the first two targets of a grid along each of its axes."""
    along = ("depths", "width_factors", "horizons", "shares")
    first: dict[str, Any] = {**{name: getattr(grid, name)[:2] for name in along}, "finetuning_factor": 1.0}
    if isinstance(grid.sizes, list):
        first["sizes"] = grid.sizes[:1]
    if grid.is_downstream and preset.downstream is not None:
        tasks = 2 if grid.axis == "task" else 1
        first["tasks"] = (grid.tasks or preset.downstream.of_kind(grid.task_kind))[:tasks] or None
    return grid.model_copy(update=first)


def _quick_size(size: Size) -> Size:
    recipes = {name: _but_length(changes) for name, changes in size.recipes.items()}
    return Size(width=size.width, recipes={name: changes for name, changes in recipes.items() if changes})


def _but_length(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a size or a task changes of a recipe, without the lengths, which are the same for all."""
    return {name: value for name, value in changes.items() if name not in ("epochs", "iterations", "warmup_epochs")}


def _quick(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"epochs": None, "iterations": QUICK_ITERATIONS, "warmup_epochs": 0.0})
