"""Lengths of the trainings of a plan, in steps: an epoch of few images is few steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from learngene_bench.config.lengths import doubts
from learngene_bench.planning.plan import Plan
from learngene_bench.schema.stage import CellConfig
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.words import counted


@dataclass(frozen=True)
class Length:
    """Length of the fine-tuning of some targets, and of what a method trains before it.

    Attributes:
        method: what tables call the method.
        size: size of the targets.
        task: task that they are fine-tuned on.
        steps: optimizer steps of fine-tuning.
        batch: images of a step.
        images: images of the training set.
        initializing: steps by recipe that the method trains by for one target.
        initializing_images: images of these.
    """

    method: str
    size: str
    task: str
    steps: int
    batch: int
    images: int
    initializing: tuple[tuple[str, int], ...]
    initializing_images: int


def lengths(plan: Plan) -> list[Length]:
    """Lists the different lengths of a plan's fine-tunings."""
    return list(dict.fromkeys(_lengths(plan)))


def _lengths(plan: Plan) -> Iterator[Length]:
    images = {task.name: task.facts.train_images for task in plan.tasks}
    for cell in plan.cells:
        config = plan.stages[cell.address].config
        if isinstance(config, CellConfig) and config.finetuning is not None:
            yield _length(cell, config, images)


def _length(cell: PlannedCell, config: CellConfig, images: dict[str, int]) -> Length:
    recipe, here, source = config.finetuning, images[cell.task], images[cell.source]
    assert recipe is not None
    return Length(
        method=cell.title,
        size=cell.size,
        task=cell.task,
        steps=recipe.steps(here),
        batch=recipe.batch_sizes(here)[0],
        images=here,
        initializing=tuple((name, own.steps(source)) for name, own in config.recipes.items()),
        initializing_images=sum(own.images_trained_on(source) for own in config.recipes.values()),
    )


def length_lines(plan: Plan) -> list[str]:
    """Says how long targets are fine-tuned, a line for each size and task where they differ."""
    found = lengths(plan)
    lines: dict[str, list[str]] = {}
    for one in found:
        steps = f"{counted(one.steps, 'step')} of {counted(one.batch, 'image')}"
        own = [f"{name} {counted(steps, 'step')}" for name, steps in one.initializing]
        lines.setdefault(f"fine-tuning {one.size} on {one.task} ({counted(one.images, 'image')}): {steps}", []).append(
            f"{one.method} before it: {', '.join(own)}" if own else ""
        )
    return ["; ".join([line, *dict.fromkeys(filter(None, before))]) for line, before in lines.items()]


def length_doubts(plan: Plan) -> list[str]:
    """Says what makes no sense about the lengths for the size of the data; see `doubts`."""
    found = [
        doubt
        for one in lengths(plan)
        for doubt in doubts(one.task, one.steps, one.batch, {one.method: one.initializing_images})
    ]
    return list(dict.fromkeys(found))
