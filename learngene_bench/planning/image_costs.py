"""Counts the images that methods train on before fine-tuning, and lets one train its gene on as many as another.

Images are counted because they are known before anything is computed. Every method bears its ancestors, as in tables of
costs; what is loaded costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.initializer import Ancestor, Distiller, GeneRequest, Initializer
from learngene_bench.planning.scope import Scope, recipe_of_method
from learngene_bench.planning.source_model import fitted
from learngene_bench.planning.targets import Target


@dataclass(frozen=True)
class ImageCost:
    """Images that a method trains on before fine-tuning.

    Attributes:
        shared: those of a gene and its ancestors, which several targets may share.
        own: those of initializing one target.
    """

    shared: int
    own: int


def image_cost(method: Initializer, target: Target, scope: Scope) -> ImageCost:
    """Counts the images that a method trains on for a target that it supports."""
    own = scope.images_at_source(recipe_of_method(scope.preset, method, name, target.width) for name in method.trains())
    gene = method.gene_request(target.spec, target.base)
    if gene is None:
        return ImageCost(0, own)
    prepared = scope.images_at_source(gene_recipes(method, gene, target, scope).values())
    return ImageCost(prepared + _ancestor_images(gene, scope), own)


def gene_recipes(method: Initializer, gene: GeneRequest, target: Target, scope: Scope) -> dict[str, Recipe]:
    """Returns the recipes that a target's gene is trained by, one of them as long as another method's cost asks."""
    recipes = {name: recipe_of_method(scope.preset, method, name, gene.family.width) for name in gene.trains}
    asked, budget = method.at_cost_of(), image_budget(method, target, scope)
    if asked is None or budget is None:
        return recipes
    recipe, images = recipes[asked.recipe], scope.source.facts.train_images
    steps = recipe.steps_within(max(0, budget), images)
    stretched = recipe.stretched(steps / max(1, recipe.steps(images)))
    # Exactly these steps, as a length in epochs is rounded to steps.
    exact = stretched.model_copy(update={"epochs": steps / recipe.steps_per_epoch(images), "iterations": None})
    return {**recipes, asked.recipe: exact}


def image_budget(method: Initializer, target: Target, scope: Scope) -> int | None:
    """Counts the images for which a method trains its gene to cost as much as another; None where it asks for none.

    It is what the other costs for one target, less the method's own share of its ancestors. Below zero, where these
    alone cost more.
    """
    asked = method.at_cost_of()
    if asked is None:
        return None
    cost = image_cost(*costed_method(method, target, scope), scope)
    gene = method.gene_request(target.spec, target.base)
    ancestors = _ancestor_images(gene, scope) if gene else 0
    return cost.own + (cost.shared - ancestors) // asked.targets


def costed_method(method: Initializer, target: Target, scope: Scope) -> tuple[Initializer, Target]:
    """Returns the method whose cost this one asks for, with the options of the run, and the target as it has it."""
    asked = method.at_cost_of()
    assert asked is not None
    spec = scope.request.costed[asked.method]
    other, base = fitted(spec.registered.create(spec.options), target.spec, target.base, target.source)
    return other, replace(target, base=base)


def _ancestor_images(gene: GeneRequest, scope: Scope) -> int:
    return sum(_images_of(ancestor, scope) for ancestor in set(gene.ancestors.values()))


def _images_of(ancestor: Ancestor, scope: Scope) -> int:
    preset = scope.preset
    if isinstance(ancestor, Distiller):
        teacher = preset.teacher
        return 0 if teacher.is_loaded or teacher.recipe is None else scope.images_at_source([teacher.recipe])
    if preset.ancestor.is_given:
        return 0
    return scope.images_at_source([preset.recipe_of("pretraining", ancestor.spec.width)])
