"""Builds the timm model of a `TimmSpec`, by the architecture's name and arguments that differ from its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import timm
import torch
from torch import nn

from learngene_bench.models.flops import counted_flops
from learngene_bench.models.timm.inspection import timm_spec_of
from learngene_bench.models.timm.spec import TimmSpec
from learngene_bench.models.timm.structure import Structure
from learngene_bench.models.timm_models import check_known
from learngene_bench.util.errors import UserError

BUILD_ERRORS = (TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError)
"""Errors of timm and torch where the arguments make no model, or one that cannot read its images."""


def build_timm(spec: TimmSpec, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
    """Builds the model of a spec; see `ModelFamily.build`. Its parameters and buffers are as timm initializes them.

    Raises:
        UserError: timm builds another model, or none.
    """
    with torch.random.fork_rng([]):
        model = _create(spec, drop_path)
    check_built(model, spec)
    if device != "meta":
        return model.to(device)
    # Buffers hold numbers that are computed, not learned: tables of indices, rotations. They stay where they are.
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.to("meta"), parameter.requires_grad))
    return model


def check_built(model: nn.Module, spec: TimmSpec) -> None:
    """Raises `UserError` if a model that timm built is not the one that a spec describes."""
    built = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    wanted = spec.parameter_shapes()
    for name in [*wanted, *built]:
        if built.get(name) != wanted.get(name):
            raise UserError(
                f"timm's {spec.architecture} of {spec.sizes()} is another model: {name} has shape {built.get(name)}, "
                f"not {wanted.get(name)}; it was made with arguments that are not known here"
            )


def timm_arguments(spec: TimmSpec) -> dict[str, Any]:
    """Arguments with which `timm.create_model(spec.architecture, ...)` builds the model.

    Raises:
        UserError: timm has no such architecture, or it was not timm that created the model.
    """
    own = architecture_of(spec.architecture)
    patch, dimension = spec.patch_size or own.patch_size, spec.head_dimension or own.head_dimension
    arguments: dict[str, Any] = {"num_classes": spec.classes, "in_chans": spec.channels}
    if spec.depth != own.depth:
        arguments["depth"] = spec.depth
    if (spec.width, dimension) != (own.width, own.head_dimension):
        if dimension and spec.width % dimension:
            raise UserError(
                f"timm builds no {spec.architecture} of width {spec.width}: no multiple of its head dimension "
                f"{dimension} (model.head_dimension sets another)"
            )
        arguments["embed_dim"] = spec.width
        arguments["num_heads"] = spec.width // (dimension or spec.width)
    height, width = spec.parts.image if spec.structure else (spec.image_size, spec.image_size)
    if (height, width) != own.parts.image:
        arguments["img_size"] = height if height == width else (height, width)
    if patch != own.patch_size:
        arguments["patch_size"] = patch
    return arguments


@lru_cache(maxsize=64)
def architecture_of(name: str) -> TimmSpec:
    """Describes timm's model of this name, without other arguments.

    Raises:
        UserError: timm has no such model, or it has no blocks.
    """
    if not name:
        raise UserError("timm did not create this model, so it cannot build another one like it")
    check_known(name)
    with torch.random.fork_rng([]), torch.device("meta"):
        model = timm.create_model(name)
    return timm_spec_of(model)


@lru_cache(maxsize=256)
def planned_structure(spec: TimmSpec) -> Structure:
    """The parts of the model that timm builds of an architecture in these sizes.

    Raises:
        UserError: timm builds no such model.
    """
    with torch.random.fork_rng([]), torch.device("meta"):
        built = timm_spec_of(_create(spec))
    for name in ("depth", "width", "image_size"):
        if getattr(built, name) != getattr(spec, name):
            raise UserError(f"timm's {spec.architecture} has {name} {getattr(built, name)}, not {getattr(spec, name)}")
    return built.parts


@lru_cache(maxsize=256)
def planned_flops(spec: TimmSpec) -> int:
    """Counts the operations of one image's forward pass, in a model without numbers."""
    with torch.random.fork_rng([]), torch.device("meta"):
        model = _create(spec)
        check_built(model, spec)
        try:
            return counted_flops(model, spec.image_shape(), "meta")
        except BUILD_ERRORS as error:
            sizes = " x ".join(map(str, spec.image_shape()[1:]))
            raise UserError(f"timm's {spec.architecture} cannot read images of {sizes}: {_in_a_line(error)}") from error


def _create(spec: TimmSpec, drop_path: float = 0.0) -> nn.Module:
    arguments = timm_arguments(spec)
    rate: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    try:
        return timm.create_model(spec.architecture, **arguments, **rate)
    except BUILD_ERRORS as error:
        listed = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise UserError(f"timm builds no {spec.architecture} with {listed}: {_in_a_line(error)}") from error


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
