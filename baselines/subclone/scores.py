"""Scores of a Vision Transformer's units, how active they are on some images; and the choice of units by them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 64
"""Number of images that are passed at once; a matter of memory, not of the result."""
STREAM = ("norm1", "attn.proj", "norm2", "mlp.fc2")
"""Modules whose outputs are read from the residual stream or written to it."""


def unit_scores(model: nn.Module, images: Tensor, heads: int) -> dict[str, Tensor]:
    """Passes images through a model; means over images and tokens.

    Args:
        model: a timm VisionTransformer, on the device of the images.

    Returns:
        `residual`, (D,): absolute activation of a channel, summed over blocks and the modules of `STREAM`; `heads`,
        (L, heads): norm of a head's output before the projection; `hidden`, (L, H): absolute activation behind GELU.
    """
    blocks: Any = model.blocks
    sums: dict[tuple[str, int], Tensor] = {}

    def add(kind: str, layer: int, values: Tensor) -> None:
        total = values.double().mean(dim=tuple(range(1, values.dim() - 1))).sum(0) / len(images)
        sums[kind, layer] = sums[kind, layer] + total if (kind, layer) in sums else total

    def written(layer: int, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        add("residual", layer, output.abs())

    def before_projection(layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        add("heads", layer, inputs[0].unflatten(-1, (heads, -1)).norm(dim=-1))

    def behind_gelu(layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        add("hidden", layer, inputs[0].abs())

    hooks = []
    for layer, block in enumerate(blocks):
        hooks += [block.get_submodule(name).register_forward_hook(partial(written, layer)) for name in STREAM]
        hooks.append(block.attn.proj.register_forward_pre_hook(partial(before_projection, layer)))
        hooks.append(block.mlp.fc2.register_forward_pre_hook(partial(behind_gelu, layer)))
    try:
        with torch.no_grad():
            for batch in images.split(BATCH):
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    kinds = ("residual", "heads", "hidden")
    stacked = {kind: torch.stack([sums[kind, layer] for layer in range(len(blocks))]) for kind in kinds}
    return {**stacked, "residual": stacked["residual"].sum(0)}


def kept_units(scores: Mapping[str, Tensor], source: ViTSpec, target: ViTSpec) -> dict[str, Tensor]:
    """Chooses the units with the highest scores, in their order; evenly spaced ones without scores.

    Args:
        scores: those of `unit_scores`, or none.

    Returns:
        Units of the source by axis, see `expansion.growth`: (kept,) of the residual stream, (L, kept) of the others.
    """

    def chosen(kind: str, old: int, new: int) -> Tensor:
        if kind not in scores:
            return (torch.arange(new) * old // new).expand(source.depth, -1)
        return scores[kind].argsort(dim=-1, descending=True, stable=True)[..., :new].sort(dim=-1).values

    heads, dimension = chosen("heads", source.heads, target.heads), source.head_dimension
    channels = (heads[..., None] * dimension + torch.arange(dimension)).flatten(-2)
    residual = chosen("residual", source.width, target.width)
    return {
        "residual": residual if residual.dim() == 1 else residual[0],
        **dict.fromkeys(("query", "key", "value"), channels),
        "hidden": chosen("hidden", source.hidden, target.hidden),
    }
