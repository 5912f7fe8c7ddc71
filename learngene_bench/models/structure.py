"""Modules of timm that are built with what their buffers hold, and compared with each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

TOLERANCE = 6e-4
"""Relative difference up to which outputs are the same: GELU and its approximation by tanh, not GELU and quick GELU."""


def build_with_buffers(build: Callable[[], Module], device: str) -> Module:
    """Builds a module whose buffers hold their values; its parameters are not to be relied on.

    The constructor draws parameters, because buffers that are made on the meta device have no values. The caller's
    random numbers stay what they are.

    Args:
        build: makes the module on the CPU.
        device: that of the parameters; with "meta" the buffers stay on the CPU.
    """
    with torch.random.fork_rng([]):
        module = build()
    if device != "meta":
        return module.to(device)
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            part.register_parameter(name, nn.Parameter(parameter.to("meta")))
    return module


def same_structure(model: nn.Module, other: nn.Module) -> bool:
    """Returns True if two modules have parameters of the same names and shapes, and compute the same with them.

    What only acts while a model is trained may differ: dropout and stochastic depth.
    """
    return _shapes(model) == _shapes(other) and layers(model) == layers(other)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def draw(parameter: nn.Parameter, generator: torch.Generator) -> None:
    """Draws numbers that make every part count: matrices that keep the size of what they are given, norms about 1.

    A vector is taken for the weight of a norm, or for a bias: its mean is 1, which both can have.
    """
    drawn = torch.randn(parameter.shape, generator=generator)
    with torch.no_grad():
        parameter.copy_(drawn / math.sqrt(math.prod(parameter.shape[1:])) if parameter.dim() > 1 else 1 + 0.1 * drawn)


def layers(model: nn.Module) -> dict[str, str]:
    """Describes every layer without parts of its own: its kind, the epsilon of a norm, the stride of a convolution."""
    only_in_training = ("Identity", "Dropout", "DropPath")
    layers = ((name, repr(module)) for name, module in model.named_modules() if not list(module.children()))
    return {name: layer for name, layer in layers if not layer.startswith(only_in_training)}
