"""The scope of a plan: its tasks and targets, and how targets are fine-tuned."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.planning.request import Request
from learngene_bench.planning.targets import Target, targets_of
from learngene_bench.planning.tasks import Task, source_task
from learngene_bench.util.errors import UserError


def recipe_of_method(preset: Preset, method: Initializer | type[Initializer], name: str, width: int) -> Recipe:
    """Returns a recipe that a method trains by. Raises `UserError` for one that nobody declares."""
    try:
        return preset.recipe_of(name, width, method.recipe_fallbacks)
    except UserError as error:
        raise UserError(f"method {method.name!r} trains by a recipe that it does not declare: {error}") from error


class Scope:
    """The targets and tasks that a request measures.

    Attributes:
        source: the task on which ancestors are trained and genes are made.
        targets: every target, in the order of the grid.

    Raises:
        UserError: the grid names an unknown size or task, sizes are impossible, or there are no images to measure on.
    """

    def __init__(self, request: Request) -> None:
        self.request, self.preset = request, request.preset
        self.source = source_task(self.preset)
        self.targets = targets_of(self.preset, request.grid, self.source)
        if not self.source.facts.validation_images:
            raise UserError(f"{self.source.name}: no validation images; ancestors and genes are watched on some")
        for task in self.tasks:
            if self.preset.evaluation_split == "validation" and not task.facts.validation_images:
                raise UserError(f"evaluation_split is 'validation', and {task.name} has no validation images")

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks on which targets are fine-tuned."""
        return list({target.task.name: target.task for target in self.targets}.values())

    @property
    def is_transfer(self) -> bool:
        """True if targets are fine-tuned on downstream tasks."""
        return self.tasks != [self.source]

    def finetuning(self, target: Target, initializing: Iterable[Recipe]) -> Recipe:
        """Returns the recipe that a target is fine-tuned by.

        At equal budget every method trains on the same number of images, those of fine-tuning and `inheritance`
        together. What it trains on in `initialize` is subtracted, so no method is ahead only because it trains longer.
        What is left is rounded down to whole batches of fine-tuning: no method has more than the budget, and each is
        short of it by less than one batch. An image of the source task counts as much as one of any other.

        Args:
            initializing: recipes that the method trains by in `initialize`.
        """
        recipe = self._ordinary_finetuning(target)
        if not self.request.equal_budget:
            return recipe
        left = self.budget(target) - self.images_at_source(initializing)
        iterations = recipe.steps_within(left, target.train_images)
        return recipe.model_copy(update={"epochs": None, "iterations": iterations})

    def budget(self, target: Target) -> int:
        """Counts the images of fine-tuning, on the target's task, and of `inheritance`, on the source task."""
        finetuning = self._ordinary_finetuning(target).images_trained_on(target.train_images)
        return finetuning + self.images_at_source([self.preset.recipe_of("inheritance", target.width)])

    def images_at_source(self, recipes: Iterable[Recipe]) -> int:
        """Counts the images that these recipes train on together, on the source task."""
        return sum(recipe.images_trained_on(self.source.facts.train_images) for recipe in recipes)

    def _ordinary_finetuning(self, target: Target) -> Recipe:
        return target.finetuning(target.task.recipe or self.preset.recipe_of("finetuning", target.width))
