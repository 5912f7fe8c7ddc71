"""Matches the gene or the trained models that a user has with what a method would ask for.

A benchmark starts from a base model, asks the method which gene it needs, and makes just that. A user of the library
comes with the gene, or with trained models: here the base model is sought for which the method asks for these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from torch import nn

from learngene_bench.config.loader import build_options
from learngene_bench.contracts.family import BASE_DEPTH, ModelSpec, family_of
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained
from learngene_bench.models.weights import spec_of
from learngene_bench.util.errors import UserError


def match_gene(method: Initializer, gene: Gene, target: ModelSpec) -> tuple[Initializer, ModelSpec]:
    """The method with the options that this gene was made with, and the base model for which it makes such genes.

    Raises:
        UserError: it is another method's, or made with other options, or not for such a target.
    """
    if gene.method != method.name:
        raise UserError(f"this is a gene of {gene.method!r}, not of {method.name!r}")
    if gene.family.family != target.family:
        raise UserError(f"this is a gene for models of the family {gene.family.family!r}, not {target.family!r}")
    method = method.fitted_to(gene.family)
    for base in _bases(gene.family, target, [gene.family]):
        request = method.gene_request(target, base)
        if request and request.family.sizes() == gene.family.sizes():
            return method, base
    request = method.gene_request(target, base_of(target))
    asked = request.family.sizes() if request else "nothing"
    raise UserError(
        f"{method.name} inherits from a model of {asked} here, this gene is of {gene.family.sizes()}: "
        f"give another gene, or the options that it was made with{_options(method)}"
    )


def match_models(
    method: Initializer, models: Mapping[str, nn.Module], target: ModelSpec
) -> tuple[Initializer, ModelSpec, GeneRequest]:
    """The method with the options that ask for these models, its base model, and its request as they answer it.

    Args:
        models: by role.

    Raises:
        UserError: the roles are others, a model is of another family where one of the target's is asked for, or of
            other sizes; or the gene is to cost as much as that of another method.
    """
    if method.at_cost_of():
        raise UserError(f"{method.name}: what another method costs is known to `lgbench run` only")
    request = method.gene_request(target, base_of(target))
    assert request is not None
    _check_roles(method.name, request, models)
    wanted = {role: ancestor.spec for role, ancestor in request.ancestors.items() if isinstance(ancestor, Pretrained)}
    given = {role: described(role, models[role]) for role in wanted}
    for role, spec in given.items():
        if wanted[role] == request.family:
            method = method.fitted_to(spec)
    for base in _bases(target, target, list(given.values())):
        asked = method.gene_request(target, base)
        if asked and (family := _family(asked, given)):
            return method, base, replace(asked, family=family)
    request = method.gene_request(target, base_of(target))
    assert request is not None
    wanted = {role: ancestor.spec for role, ancestor in request.ancestors.items() if isinstance(ancestor, Pretrained)}
    asks = f"asks for {_listing(wanted)} here, not for {_listing(given)}"
    raise UserError(f"{method.name} {asks}: give another model{_options(method)}")


def base_of(target: ModelSpec) -> ModelSpec:
    """The 12-layer model of the target's width, or the target itself if its stages are more than 12."""
    with suppress(UserError):
        return target.with_depth(BASE_DEPTH)
    return target


def _check_roles(name: str, request: GeneRequest, models: Mapping[str, nn.Module]) -> None:
    if models.keys() == request.ancestors.keys():
        return
    roles = [f"{role}=MODEL" for role in request.ancestors] + ["data="] * bool(request.trains)
    if not models:
        raise UserError(
            f"{name} needs a gene: give gene=FILE (tensors.safetensors of a gene that lgbench run made), "
            f"or {' and '.join(roles)} to make one here"
        )
    raise UserError(f"{name} makes its gene of {' and '.join(roles)}, not of {', '.join(models)}")


def pretrained_roles(method: Initializer, target: ModelSpec) -> list[str]:
    """Roles of the trained models of the target's family that a method makes its gene of."""
    request = method.gene_request(target, base_of(target))
    ancestors = request.ancestors if request else {}
    return [role for role, ancestor in ancestors.items() if isinstance(ancestor, Pretrained)]


def described(role: str, model: nn.Module) -> ModelSpec:
    """Describes a model that a user gives as an ancestor.

    Raises:
        UserError: it has no spec; the message names the role.
    """
    try:
        return spec_of(model)
    except UserError as error:
        raise UserError(f"{role}: {error}") from error


def _bases(like: ModelSpec, target: ModelSpec, given: Collection[ModelSpec]) -> Iterator[ModelSpec]:
    """Base models: 12-layer ones of these widths, then of every narrower one that the family has, then what was given.

    Models of a general family cannot be made of a width: its base models are those that were given.
    """
    widths = {target.width, *(spec.width for spec in given)}
    if not family_of(like).is_general:
        for width in dict.fromkeys([*sorted(widths), *range(1, max(widths))]):
            with suppress(UserError):
                yield like.with_depth(BASE_DEPTH).with_width(width)
    yield from given
    yield base_of(target)


def _family(asked: GeneRequest, given: Mapping[str, ModelSpec]) -> ModelSpec | None:
    """Returns the spec of the model that makes the gene; None if the given models are not those asked for.

    They may differ outside the blocks: in image size, classes, class token. If the gene is made of one of them, this
    returns its spec.
    """
    wanted = {role: ancestor.spec for role, ancestor in asked.ancestors.items() if isinstance(ancestor, Pretrained)}
    if any(wanted[role].sizes() != spec.sizes() for role, spec in given.items()):
        return None
    same = [given[role] for role, spec in wanted.items() if spec == asked.family]
    return same[0] if same else asked.family


def training_free_option(method: Initializer) -> str | None:
    """The one switch among a method's options that makes it train nothing, as one would write it; None for none."""
    options = method.options.model_dump()
    for name, value in options.items():
        if isinstance(value, bool):
            other = type(method)(build_options(type(method).Options, {**options, name: not value}, method.name))
            if not other.trains():
                return f"{name}={not value}"
    return None


def _listing(specs: Mapping[str, ModelSpec]) -> str:
    return " and ".join(f"{role} of {spec.sizes()}" for role, spec in specs.items())


def _options(method: Initializer) -> str:
    names = ", ".join(type(method).Options.model_fields)
    return f" (options: {names})" if names else ""
