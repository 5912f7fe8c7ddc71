"""The algebra that nearly every method here is written in: W(l) = sum_t kron(S(l, t), T(t)).

T are *templates*, stored once in a gene; S are *scalers*, one set per target. With block-sized templates a scaler is
one number per layer and template; with smaller templates it is a grid that says how copies of the template are
weighted and laid side by side. One component (`attn.qkv.weight`, `norm1.bias`, ...) of all layers is one contraction:

    scalers (L, n, *grid), templates (n, *block)  ->  weights (L, grid[0] * block[0], grid[1] * block[1], ...)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def expand(scalers: Tensor, templates: Tensor) -> Tensor:
    """Computes all layers of one component at once: out[l] = sum_t kron(scalers[l, t], templates[t]).

    Args:
        scalers: (L, n, *grid).
        templates: (n, *block), as many block as grid dimensions.

    Returns:
        (L, grid[0] * block[0], ..., grid[-1] * block[-1]).
    """
    layers, number, *grid = scalers.shape
    block = templates.shape[1:]
    # One matrix product over templates, (L * grid) x n times n x block, ...
    flat = scalers.movedim(1, -1).reshape(-1, number) @ templates.reshape(number, -1)
    cells, dims = math.prod(grid), len(grid)
    if cells == 1:
        return flat.view(layers, *block)
    # ... then each grid axis is moved before the block axis that it repeats.
    order = [0] + [axis for d in range(dims) for axis in (1 + d, 1 + dims + d)]
    woven = flat.view(layers, *grid, *block).permute(order)
    return woven.reshape(layers, *(g * b for g, b in zip(grid, block, strict=True)))


def over_relative_depth(scalers: Tensor, depth: int) -> Tensor:
    """Scalers (L, n, *grid) learned at one depth, interpolated linearly over relative depth to another."""
    place = torch.linspace(0, len(scalers) - 1, depth)
    below = place.floor().long().clamp(max=len(scalers) - 2)
    share = (place - below).view(-1, *[1] * (scalers.dim() - 1))
    return torch.lerp(scalers[below], scalers[below + 1], share)


@dataclass(frozen=True)
class Expansion:
    """The blocks of a target, as scalers and templates of every component.

    A component's tensors may have other axes than its parameter (a qkv bias may be kept as (3, D)), as long as the
    numbers come in the same order.

    Attributes:
        spec: the target.
        scalers: component to (L, n, *grid), L the depth of the component's stage.
        templates: component to (n, *block). Components are named as in `ModelSpec.components`.
    """

    spec: ModelSpec
    scalers: Mapping[str, Tensor]
    templates: Mapping[str, Tensor]

    def materialise(self) -> dict[str, Tensor]:
        """The weights of every block by the model's names (`blocks.0.attn.qkv.weight`, ...); differentiable."""
        weights = {}
        components = self.spec.components()
        for component, templates in self.templates.items():
            stage, name = components[component]
            layers = expand(self.scalers[component], templates).view(-1, *stage.shapes[name])
            for layer, weight in enumerate(layers.unbind(0)):
                weights[stage.parameter(layer, name)] = weight
        return weights

    def names(self) -> set[str]:
        """Names of the parameters that `materialise` gives."""
        components = self.spec.components()
        made = [components[component] for component in self.templates]
        return {stage.parameter(layer, name) for stage, name in made for layer in range(stage.depth)}

    def flops(self) -> int:
        """Floating-point operations of one `materialise`."""
        return sum(2 * self.scalers[name].numel() * templates[0].numel() for name, templates in self.templates.items())
