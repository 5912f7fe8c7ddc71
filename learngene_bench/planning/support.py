"""Reasons why a method cannot initialize a target, which become dashes with footnotes."""

from __future__ import annotations

from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer, wrong_family
from learngene_bench.planning.image_costs import costed_method, gene_recipes, image_budget
from learngene_bench.planning.scope import Scope, recipe_of_method
from learngene_bench.planning.targets import Target
from learngene_bench.planning.tasks import Task


def reason_against(method: Initializer, target: Target, gene: GeneRequest | None, scope: Scope) -> str | None:
    """Returns the reason why a method cannot initialize a target of this plan; None if it can.

    Args:
        gene: what the method asks for, if the target is of a family that it is made for.
    """
    return (
        wrong_family(method, target.spec)
        or method.supports(target.spec, target.base)
        or _lacks_teacher(gene, scope.source)
        or _exceeds_budget(method, target, scope)
        or (_has_no_length(method, target, gene, scope) if gene and method.at_cost_of() else None)
    )


def _lacks_teacher(gene: GeneRequest | None, source: Task) -> str | None:
    """Returns the reason if the gene is distilled, and models of the source task cannot be."""
    if source.kind.distils or gene is None or not any(isinstance(a, Distiller) for a in gene.ancestors.values()):
        return None
    return f"it distils a teacher, and models of the task kind {source.kind.name!r} cannot be distilled"


def _exceeds_budget(method: Initializer, target: Target, scope: Scope) -> str | None:
    """Returns the reason if budgets are equal, and initialization alone trains on more images than there are."""
    recipes = [recipe_of_method(scope.preset, method, name, target.width) for name in method.trains()]
    spent = scope.images_at_source(recipes)
    if not scope.request.equal_budget or spent <= scope.budget(target):
        return None
    return (
        f"it trains on {spent:,} images while it initializes, and the equal budget is {scope.budget(target):,} images"
    )


def _has_no_length(method: Initializer, target: Target, gene: GeneRequest, scope: Scope) -> str | None:
    """Returns the reason if a gene is to cost as much as another method, and that leaves it no step of training."""
    asked, (other, others_target) = method.at_cost_of(), costed_method(method, target, scope)
    assert asked is not None
    misfit = wrong_family(other, target.spec)
    others_gene = None if misfit else other.gene_request(target.spec, others_target.base)
    if misfit := misfit or reason_against(other, others_target, others_gene, scope):
        return f"it costs as much as {other.name}, which has no such target: {misfit}"
    if gene_recipes(method, gene, target, scope)[asked.recipe].steps(scope.source.facts.train_images):
        return None
    left = max(0, image_budget(method, target, scope) or 0)
    among = f" among {asked.targets} targets" if asked.targets > 1 else ""
    return f"what {other.name} costs{among} is {left:,} images beside the ancestors, less than one batch"
