"""Refuses recipes that ask for something that would change nothing: each in one line, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping

from learngene_bench.config.preset import Teacher
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec, family_of
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.planning.tasks import Task
from learngene_bench.util.errors import UserError

MOST_HEADS = 1000
"""Outputs of most pretrained models of timm: the classes of ImageNet."""


def check_recipe(recipe: Recipe, name: str, task: Task, spec: ModelSpec) -> None:
    """Checks that models of this spec's family can be trained on a task as a recipe says.

    Raises:
        UserError: the task kind cannot follow a setting, or the family has no stochastic depth.
    """
    task.kind.check_recipe(recipe, name)
    if recipe.drop_path and not family_of(spec).has_drop_path:
        _refuse_drop_path(name, f"models of the family {spec.family!r} have")


def check_teacher(teacher: Teacher, task: Task) -> None:
    """Checks that a teacher can be trained as its recipe says, or loaded for this task.

    Raises:
        UserError: the task kind cannot follow a setting, the architecture has no stochastic depth, or a pretrained head
            is for another task.
    """
    if teacher.pretrained and teacher.architecture != "convnet":
        check_pretrained(teacher.architecture, task.outputs, "teacher.checkpoint")
    if teacher.recipe is None or teacher.is_loaded:
        return
    task.kind.check_recipe(teacher.recipe, "teacher")
    if not teacher.recipe.drop_path:
        return
    if teacher.architecture == "convnet":
        _refuse_drop_path("teacher", "a convnet has")
    from learngene_bench.models.timm_models import has_drop_path  # imports torch, which other plans do without

    if not has_drop_path(teacher.architecture):
        _refuse_drop_path("teacher", f"timm's {teacher.architecture} has")


def check_pretrained(name: str, classes: int, instead: str) -> None:
    """Raises `UserError` if the head of a pretrained model of timm is for another task; see `check_pretrained_head`.

    A task of as many classes as most heads have is left to the stage that loads the weights, so that its plan does not
    import torch.
    """
    if classes == MOST_HEADS:
        return
    from learngene_bench.models.timm_models import check_pretrained_head  # imports torch, which other plans do without

    check_pretrained_head(name, classes, instead)


def check_used(method: Initializer, recipes: Mapping[str, Recipe], target: ModelSpec, base: ModelSpec) -> None:
    """Checks that a method uses each field that its recipes set.

    Args:
        recipes: those by which the method trains for this target, by name.
        base: the 12-layer model of the target's size.

    Raises:
        UserError: it does not use one of them.
    """
    for name, recipe in recipes.items():
        for field in method.ignored_recipe_fields(name, target, base):
            default = Recipe.model_fields[field].default
            if getattr(recipe, field) != default:
                raise UserError(f"recipe {name}: {method.name} does not use {field} at {target}: leave it at {default}")


def _refuse_drop_path(name: str, who: str) -> None:
    raise UserError(f"recipe {name}: {who} no stochastic depth: set drop_path to 0")
