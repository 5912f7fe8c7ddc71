"""Finds units of a widened model that are copies and would stay copies: same numbers, and same gradients.

Two gradients are compared and not only two rows of weights, because rows of one matrix may be the same and the units
still be told apart by the other matrix that they belong to: equal queries and keys by different projections.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.models.copies import COPY, distances, distinct

SAME_GRADIENT = 1e-2
"""Largest distance of two gradients that do not tell copies apart, in units of `distances`."""


@dataclass(frozen=True)
class CopiedUnits:
    """Copies in a target that is wider than its base.

    Attributes:
        written: components of the blocks that are wider than the base's and that the method wrote: matrices and
            convolutions only.
        copied: those among them that have, in every layer, no more different rows or columns than the base's have.
    """

    written: tuple[str, ...]
    copied: tuple[str, ...]


def copied_units(
    model: nn.Module, target: ModelSpec, base: ModelSpec, written: Collection[str], images: Tensor, labels: Tensor
) -> CopiedUnits:
    """Looks for copies in every matrix that was written, by the gradients on a batch of images.

    Args:
        written: names of the parameters that the method wrote.
    """
    weights = dict(model.named_parameters())
    loss = functional.cross_entropy(model.eval()(images), labels)
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
    gradients = dict(zip(weights, found, strict=True))
    narrow = base.components()
    components, copied = [], []
    for component, (stage, name) in target.components().items():
        names = [each for layer in range(stage.depth) if (each := stage.parameter(layer, name)) in written]
        shape = stage.shapes[name]
        sizes = narrow[component][0].shapes[name] if component in narrow else shape
        comparable = len(shape) == len(sizes) and len(shape) in (2, 4)  # convolutions are matrices too
        wider = [axis for axis in range(2) if comparable and shape[axis] > sizes[axis]]
        if names and wider:
            components.append(component)
            if all(any(_repeated(weights[n], gradients[n], axis, sizes[axis]) for axis in wider) for n in names):
                copied.append(component)
    return CopiedUnits(tuple(components), tuple(copied))


def _repeated(weight: Tensor, gradient: Tensor, axis: int, most: int) -> bool:
    """True if a matrix, or a convolution, has at most so many different rows (axis 0) or columns (axis 1)."""
    units, their_gradients = (tensor.movedim(axis, 0).flatten(1) for tensor in (weight, gradient))
    same = (distances(units) < COPY) & (distances(their_gradients) < SAME_GRADIENT)
    return distinct(same) <= most
