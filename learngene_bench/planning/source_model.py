"""Fits methods to the source model of a grid: the trained model that all of them take weights from.

No method is asked for by name. A method says by `fitted_to` which of its options name a trained model, and by
`gene_request` which models it asks for.
"""

from __future__ import annotations

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained, wrong_family


def fitted(
    method: Initializer, spec: ModelSpec, base: ModelSpec, source: ModelSpec | None
) -> tuple[Initializer, ModelSpec]:
    """Fits a method to the source model of a target's grid, where there is one.

    Options that a user gave stay. The target's base becomes the source if only then the method takes weights from it,
    as one does that takes them from its base. What takes nothing from a trained model of the family (direct methods,
    distilled genes, direct pre-training) stays as in any other grid.

    Args:
        spec: the target.

    Returns:
        The method, and the base of the target.
    """
    if source is None or wrong_family(method, spec):
        return method, base
    method = method.fitted_to(source)
    for found in (base, source):
        request = method.gene_request(spec, found)
        if request and takes_from(source, request):
            return method, found
    return method, base


def takes_from(source: ModelSpec, request: GeneRequest) -> bool:
    """Returns True if a gene is made of this trained model."""
    return Pretrained(source) in request.ancestors.values()


def default_options(method: Initializer, source: ModelSpec | None) -> Section:
    """Returns the options that the method has if a user gives none, in a grid with this source model or without."""
    default = type(method)(type(method).Options())
    return default.options if source is None or wrong_family(method, source) else default.fitted_to(source).options
