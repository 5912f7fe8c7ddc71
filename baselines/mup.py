"""Maximal update parametrization (muP): initialization and learning rates by which one rate serves all widths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench.config.recipe import Recipe
from learngene_bench.config.section import Section
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import write_weights
from learngene_bench.schema.parameter_group import ParameterGroup
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene

HIDDEN = ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight")
"""The matrices of a block, whose inputs and outputs both grow with the width."""
OTHERS = ("patch_embed.proj.weight", "head.weight")
"""The matrices of which one side grows with the width."""


class MupOptions(Section):
    base_width: int | None = Field(
        None, ge=1, description="width that the recipe's learning rate is for; the base's when not given"
    )
    zero_query: bool = Field(True, description="queries start at 0, as the authors advise")
    zero_head: bool = Field(True, description="the head starts at 0; false: base initialization / m")
    keep_decay: bool = Field(
        True, description="decay of a step keeps its size; false: it shrinks with the learning rate"
    )


class Mup(Initializer[MupOptions, ViTSpec]):
    """muP (Yang et al., 2021), by microsoft/mup (`optim.py`, `layer.py`) without changing the model; m = D / D_base.

    | parameters | start | learning rate (AdamW) |
    |---|---|---|
    | qkv, proj, fc1, fc2 | standard deviation of the model of width D_base, / sqrt(m) | / m |
    | patches, positions, class token, norms, biases | as in the model of width D_base | unchanged |
    | head | 0 | / m |

    Updates then change activations by as much at every width, so that the learning rate of a narrow model is right for
    a wide one. At m = 1 only the zeros differ from base initialization: the rule is about grids that widen models
    (`--grid width`), or a `base_width` for all. The rates are those of fine-tuning (`parameter_groups`).

    Faithful: a parameter whose rate is divided has its weight decay multiplied, so that lr * decay stays (`MuAdam`);
    as weight decay may matter more than muP (arXiv 2510.19093), `keep_decay=false` is the other way. SGD has the rates
    of `MuSGD`: vectors times m, hidden matrices unchanged, head / m. muP's factor 1 / m on the head's input is in the
    head's own start and rate here, which is the same training but for Adam's epsilon. Attention's 1 / d is a constant,
    as heads keep their dimension.
    Choices of this suite: D_base is the base's width of the grid. A mask decoder of segmentation belongs to the task
    and keeps its start and the recipe's rate. The head is 0 on every task, as that is part of the definition.
    """

    name = "mup"
    title = "muP"
    group = "direct"
    citation = "Yang et al., Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer, NeurIPS 2021"
    Options = MupOptions

    def _narrow(self, target: ViTSpec, base: ViTSpec | None) -> ViTSpec:
        """The target at the width D_base. Raises `UserError` if it has none of this width."""
        return target.with_width(self.options.base_width or (base or target).width)

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        try:
            self._narrow(target, base)
        except UserError as error:
            return str(error)
        return None

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        assert context.size_base is None or isinstance(context.size_base, ViTSpec)
        narrow = self._narrow(target, context.size_base)
        shapes, weights = target.parameter_shapes(), context.base_weights(target)
        weights = {name: weight for name, weight in weights.items() if name.endswith((*HIDDEN, *OTHERS))}
        m = target.width / narrow.width
        for name, weight in weights.items():
            if context.base.weight_init == "xavier":  # whose standard deviation falls with the width by itself
                weight *= _xavier_std(name, narrow.parameter_shapes()[name]) / _xavier_std(name, shapes[name])
            if name.endswith(HIDDEN):
                weight /= math.sqrt(m)
            if name.endswith("attn.qkv.weight") and self.options.zero_query:
                weight[: target.width] = 0
            if name == "head.weight":
                weight *= 0 if self.options.zero_head else 1 / m
        write_weights(model, weights)

    def parameter_groups(self, target: ViTSpec, base: ViTSpec, recipe: Recipe) -> list[ParameterGroup]:
        m = target.width / self._narrow(target, base).width
        (stage,) = target.stages()
        blocks = [f"{stage.path}.*.{name}" for name in stage.shapes]
        factors = {}
        for name in (*target.non_block_shapes(), *blocks, *target.head_shapes()):
            if name == "head.weight":
                factors[name] = 1 / m
            elif "rpe_" not in name and name != "head.bias":  # which do not grow with the width
                hidden, vector = (1 / m, 1.0) if recipe.optimizer == "adamw" else (1.0, m)
                factors[name] = hidden if name.endswith(HIDDEN) else vector
        keep = self.options.keep_decay
        return [
            ParameterGroup(parameters=name, learning_rate=factor, weight_decay=1 / factor if keep else 1.0)
            for name, factor in factors.items()
            if factor != 1
        ]


def _xavier_std(name: str, shape: tuple[int, ...]) -> float:
    """Standard deviation of a Xavier-uniform weight, see `models.weights.xavier`."""
    parts = 3 if name.endswith("qkv.weight") else 1
    return math.sqrt(2 / (shape[0] / parts + math.prod(shape[1:])))
