"""The linear operators of LiGO: their start, and a model that is made of them while they learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from learngene_bench.expansion.growth import Added, Growth, Mixture, model_of_parts, parts_of, parts_of_model
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from learngene_bench.expansion.materialised import MaterialisedModel


def first_operators(source: ViTSpec, target: ViTSpec, noise: float, generator: Generator) -> dict[str, Tensor]:
    """Draws the operators before learning.

    Returns:
        `depth/PARAMETER`: (L, L1), for each target layer the weights of the source's layers; `width/OPERATOR`: rows
        (L, added, D1) that make the added channels, without L for "residual"; none where no channel is added.
    """
    operators = {}
    layers = torch.arange(target.depth)
    for name in [part for component in source.block_shapes() for part in parts_of(component)]:
        mixture = noise * torch.rand(target.depth, source.depth, generator=generator)
        mixture[layers, layers % source.depth] = 1.0
        operators[f"depth/{name}"] = mixture / mixture.sum(-1, keepdim=True)
    added = (target.width - source.width, source.width)
    shapes: dict[str, tuple[int, ...]] = {
        "residual": added,
        "query": (target.depth, *added),
        "key": (target.depth, *added),
        "value": (target.depth, *added),
        "hidden": (target.depth, target.hidden - source.hidden, source.hidden),
    }
    for name, shape in shapes.items():
        if shape[-2]:
            rows = torch.rand(shape, generator=generator)
            operators[f"width/{name}"] = rows / rows.sum(-1, keepdim=True)
    return operators


def grown_model(
    tensors: Mapping[str, Tensor], source: ViTSpec, target: ViTSpec, operators: Mapping[str, Tensor]
) -> MaterialisedModel:
    """Makes a model of the target's sizes, materialised from the source's tensors, in which only operators train.

    Args:
        tensors: the source's, by timm's names.
        target: the same as `source` but for depth and width.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from learngene_bench.expansion.materialised import MaterialisedModel, ParameterTable

    class GrownModel(MaterialisedModel):
        def __init__(self) -> None:
            super().__init__(target)
            blocks, non_block = parts_of_model(tensors, source)
            self.blocks = ParameterTable(blocks, trainable=False)
            self.non_block = ParameterTable(non_block, trainable=False)
            self.operators = ParameterTable(operators, trainable=True)

        def weights(self) -> dict[str, Tensor]:
            growth = growth_by(self.operators.as_dict())
            blocks, non_block = growth.blocks(self.blocks.as_dict()), growth.non_block(self.non_block.as_dict())
            return model_of_parts(blocks, non_block, source)

        def step_flops(self) -> float:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                self.weights()
            return float(counter.get_total_flops())

        def no_weight_decay(self) -> set[str]:
            """Names that get no weight decay (read by timm): decay would pull the grown weights to 0."""
            return {f"operators.{ParameterTable.key(name)}" for name in self.operators.names}

    return GrownModel()


def growth_by(operators: Mapping[str, Tensor]) -> Growth:
    """Makes the growth of operators as `first_operators` draws them; inputs are grown by the operators of outputs."""
    layers = {
        name.removeprefix("depth/"): Mixture(each) for name, each in operators.items() if name.startswith("depth/")
    }
    width = {name.removeprefix("width/"): Added(rows) for name, rows in operators.items() if name.startswith("width/")}
    return Growth(layers, outputs=width, inputs=width)
