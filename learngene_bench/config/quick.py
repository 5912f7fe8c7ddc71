"""`--quick`: the same preset and grid, cut down to a few steps on a few targets."""

from __future__ import annotations

from typing import Any

from learngene_bench.config.grid import Grid
from learngene_bench.config.preset import DownstreamTask, Preset, Size
from learngene_bench.config.recipe import Recipe

QUICK_ITERATIONS = 4


def quick_preset(preset: Preset) -> Preset:
    """The same preset, a few steps of everything: numbers without meaning, in seconds."""

    def short(recipe: Recipe) -> Recipe:
        return recipe.model_copy(update={"epochs": None, "iterations": QUICK_ITERATIONS, "warmup_epochs": 0.0})

    teacher, downstream = preset.teacher, preset.downstream
    if teacher.recipe is not None:
        teacher = teacher.model_copy(update={"recipe": short(teacher.recipe)})
    if downstream is not None:
        downstream = downstream.model_copy(
            update={
                "recipe": short(downstream.recipe),
                "tasks": {name: DownstreamTask(data=task.data) for name, task in downstream.tasks.items()},
            }
        )
    names = ("pretraining", "condensation", "hypernetwork", "inheritance", "tuning")
    recipes = {name: short(recipe) for name in names if (recipe := getattr(preset, name)) is not None}
    sizes = {name: Size(width=size.width) for name, size in preset.sizes.items()}
    changed = {"teacher": teacher, "downstream": downstream, "sizes": sizes, **recipes}
    return preset.model_copy(update={"name": f"{preset.name}-quick", **changed})


def quick_grid(grid: Grid, preset: Preset) -> Grid:
    """The first two targets of a grid along each of its axes."""
    sizes = grid.sizes[:1] if isinstance(grid.sizes, list) else grid.sizes
    first: dict[str, Any] = {"depths": grid.depths[:2], "width_factors": grid.width_factors[:2], "sizes": sizes}
    if grid.axis == "task" and preset.downstream is not None:
        first["tasks"] = list(grid.tasks or preset.downstream.tasks)[:2]
    return grid.model_copy(update={**first, "tuning_factor": 1.0})
