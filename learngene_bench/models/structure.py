"""Modules of timm that are built without drawing a number, and compared with each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def build_without_weights(build: Callable[[], Module], device: str) -> Module:
    """Builds a module whose parameters hold whatever the memory held, and whose buffers hold their values.

    Args:
        build: makes the module; it is called where all new tensors are on the meta device, so that nothing is drawn.
        device: that of the parameters; with "meta" the buffers are on the CPU.
    """
    with torch.device("meta"):
        module = build()
    module = module.to_empty(device="cpu" if device == "meta" else device)
    for part in module.modules():
        if callable(compute := getattr(part, "init_non_persistent_buffers", None)):  # so timm calls it
            compute()
        if device == "meta":
            for name, parameter in part.named_parameters(recurse=False):
                part.register_parameter(name, nn.Parameter(parameter.to("meta")))
    return module


def same_structure(model: nn.Module, other: nn.Module) -> bool:
    """Returns True if two modules have parameters of the same names and shapes, and compute the same with them.

    What only acts while a model is trained may differ: dropout and stochastic depth.
    """
    return _shapes(model) == _shapes(other) and _layers(model) == _layers(other)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _layers(model: nn.Module) -> dict[str, str]:
    """Describes every layer without parts of its own: its kind, the epsilon of a norm, the stride of a convolution."""
    only_in_training = ("Identity", "Dropout", "DropPath")
    layers = ((name, repr(module)) for name, module in model.named_modules() if not list(module.children()))
    return {name: layer for name, layer in layers if not layer.startswith(only_in_training)}
