"""Tensors and models of any family: base initialization, inheritance outside the blocks, copying into a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.contracts.family import FAMILIES, ModelSpec, Shapes, family_of
from learngene_bench.models.layers import Rows, stacked_matrices
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch
from learngene_bench.util.rng import RngStreams, Role

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


def build_model(spec: ModelSpec, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
    """Builds a model without initializing it; see `ModelFamily.build`.

    Raises:
        UserError: the family has no stochastic depth, and the rate is above 0.
    """
    family = family_of(spec)
    if drop_path and not family.has_drop_path:
        raise UserError(f"models of the family {family.name!r} have no stochastic depth: set drop_path to 0")
    return family.build(spec, drop_path=drop_path, device=device)


def spec_of(model: nn.Module) -> ModelSpec:
    """Describes a user's model.

    Raises:
        UserError: the model belongs to no family.
    """
    families = sorted((FAMILIES.get(name)() for name in FAMILIES.names()), key=lambda family: family.is_general)
    for family in families:
        with suppress(*([] if family.is_general else [UserError])):  # the general family has the last word
            if (spec := family.spec_of(model)) is not None:
                return spec
    raise UserError(f"expected {' or '.join(family.title for family in families)}, not {type(model).__name__}")


def base_weights(spec: ModelSpec, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
    """Draws every parameter of a new model, on the CPU, in the order of the model's parameters."""
    return family_of(spec).base_weights(spec, base, generator)


def drawn_weights(spec: ModelSpec, base: BaseInitialization, seed: int, role: Role) -> dict[str, Tensor]:
    """Draws every parameter of a new model from the seed; a model of another role or spec has other numbers."""
    return base_weights(spec, base, RngStreams(seed).drawn_for(role, spec.identity()).generator("weights"))


def inherited_non_block(
    weights: Mapping[str, Tensor],
    source: ModelSpec,
    target: ModelSpec,
    current: Mapping[str, Tensor],
    *,
    head: bool,
) -> dict[str, Tensor]:
    """Returns what a target of the same width and family inherits outside the blocks; see `ModelFamily`."""
    return family_of(target).inherited_non_block(weights, source, target, current, head=head)


def inherited_blocks(weights: Mapping[str, Tensor], source: ModelSpec, target: ModelSpec) -> dict[str, Tensor]:
    """Returns what a target inherits in its blocks from a model of its own depth and width; see `ModelFamily`."""
    return family_of(target).inherited_blocks(weights, source, target)


def on_task_of(base: ModelSpec, target: ModelSpec) -> ModelSpec:
    """Returns a target as it is on the task of another model of its family."""
    return replace(target, image_size=base.image_size, classes=base.classes)


def inherit_whole_model(
    model: nn.Module, weights: Mapping[str, Tensor], source: ModelSpec, target: ModelSpec, *, head: bool
) -> None:
    """Copies all that a target inherits from a model of its own depth and width, perhaps of another task.

    Args:
        weights: every parameter of that model, by name.
        head: True if the head is inherited too.
    """
    blocks = inherited_blocks(weights, source, target)
    current = dict(model.named_parameters())
    write_weights(model, {**blocks, **inherited_non_block(weights, source, target, current, head=head)})


def set_rows(weights: dict[str, Tensor], name: str, rows: Rows, matrix: Tensor, current: Mapping[str, Tensor]) -> None:
    """Sets rows of a parameter in a table of new weights; its other rows are what they are in the table, or now.

    Args:
        current: the model's parameters, by name.
    """
    weight = weights.setdefault(name, current[name].detach().cpu().clone())
    weight[rows.start : rows.stop] = matrix


def xavier_by_name(name: str, shapes: Shapes, generator: Generator) -> Tensor:
    """Draws a Xavier-uniform weight of a model, as what it is by its name.

    In a depthwise convolution (`conv_dw`), an input reaches as many outputs as the kernel has places.

    Args:
        shapes: all parameters of the model, by name.
    """
    shape = shapes[name]
    if name.endswith("conv_dw.weight"):
        return xavier(shape, generator, parts=shape[0] / math.prod(shape[1:]))
    return xavier(shape, generator, parts=stacked_matrices(name, shapes))


def xavier(shape: tuple[int, ...], generator: Generator, parts: float = 1) -> Tensor:
    """Draws a Xavier-uniform matrix; axes after the first are columns (a patch convolution is a matrix too).

    Args:
        parts: matrices stacked along the rows, each of which counts for itself: 3 for query, key and value
            (MoCo-v3, `vits.py:32-47`).
    """
    rows, columns = shape[0], math.prod(shape[1:])
    bound = math.sqrt(6.0 / (rows / parts + columns))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def orthogonal_matrices(
    spec: ModelSpec, generator: Generator, *, gain: float = 1.0, head: bool = True
) -> dict[str, Tensor]:
    """Draws every matrix of a model semi-orthogonal, depthwise convolutions apart; convolutions are matrices too.

    Args:
        gain: singular value of each.
        head: False leaves the head out.
    """
    shapes, drawn = spec.parameter_shapes(), {}
    for name, shape in shapes.items():
        is_depthwise = len(shape) == 4 and shape[1] == 1 and spec.is_in_block(name)
        is_matrix = name.endswith("weight") and len(shape) in (2, 4)
        if is_matrix and not is_depthwise and (head or name not in spec.head_shapes()):
            matrices = torch.empty(shape).flatten(1).chunk(stacked_matrices(name, shapes))
            parts = [torch.nn.init.orthogonal_(each, gain, generator) for each in matrices]
            drawn[name] = torch.cat(parts).view(shape)
    return drawn


def write_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies tensors into the parameters of these names.

    Raises:
        KeyError: the model has no such parameter.
        ValueError: a shape differs.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if parameters[name].shape != weight.shape:
                raise ValueError(f"{name}: shape {tuple(weight.shape)} given, {tuple(parameters[name].shape)} needed")
            parameters[name].copy_(weight)
