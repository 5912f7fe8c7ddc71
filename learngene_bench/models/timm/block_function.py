"""Compares what blocks compute with what those of a plain Vision Transformer compute, as names and shapes do not say.

Norms may stand after the branches, branches side by side, and the activation may be another one: the parameters are
the same, and what was learned for one function is of little use to another.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from learngene_bench.contracts.family import Stage
from learngene_bench.models.structure import TOLERANCE, draw, layers
from learngene_bench.models.timm.structure import Structure

ONES = ("gamma", "gamma_1", "gamma_2", "gamma1", "gamma2")
"""Parameters that do nothing when they are 1: scales of what a branch adds."""
ZEROS = ("relative_position_bias_table",)
"""Parameters that do nothing when they are 0, beside those of modules called `rel_pos`."""

Reads = Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Tensor]], Tensor]]]
"""Parameters of a plain block, each with those of the model that it is made of and the function that makes it."""


def computes_otherwise(
    model: nn.Module, stage: Stage, parts: Structure, plain: nn.Module, reads: Callable[[int], Reads]
) -> bool:
    """Returns True if blocks of a stage compute something else than plain ones with the same parameters.

    One block of each kind is compared, on random tokens and with the same random numbers in both. Parts that only the
    model has are switched off for that. Where they cannot be, or a block takes no tokens, nothing is known: False.

    Args:
        plain: a block of a plain Vision Transformer of the stage's width and heads.
        reads: gives, by the number of a block in the stage, what a plain block's parameters are made of.
    """
    kinds: dict[str, int] = {}
    for layer in range(stage.depth):
        block = model.get_submodule(f"{stage.path}.{stage.first + layer}")
        kinds.setdefault(f"{[type(part) for part in block.modules()]} {layers(block)}", layer)
    return any(_differs(model, stage, layer, parts, plain, reads(layer)) for layer in kinds.values())


def _differs(model: nn.Module, stage: Stage, layer: int, parts: Structure, plain: nn.Module, reads: Reads) -> bool:
    block = model.get_submodule(f"{stage.path}.{stage.first + layer}")
    if any(parameter.is_meta for parameter in block.parameters()):
        return False
    block, plain = (copy.deepcopy(each).cpu().float().eval() for each in (block, plain))
    generator = torch.Generator().manual_seed(0)
    used = {name for names, _ in reads.values() for name in names}
    weights = {stage.parameter(layer, name): parameter for name, parameter in block.named_parameters()}
    with torch.no_grad():
        for name, parameter in weights.items():
            last = name.rpartition(".")[2]
            if last in ONES:
                parameter.fill_(1)
            elif last in ZEROS or ".rel_pos." in name:
                parameter.zero_()
            elif name in used:
                draw(parameter, generator)
            elif ".mlp." in name:  # an MLP of another kind adds nothing
                parameter.zero_()
            else:
                return False
        for name, parameter in plain.named_parameters():
            if name in reads:
                parameter.copy_(reads[name][1](weights))
            else:
                nn.init.constant_(parameter, float("norm" in name and name.endswith("weight")))
        tokens = torch.randn(1, math.prod(parts.grid) + sum(parts.prefix.values()), stage.width, generator=generator)
        wanted = plain(tokens)
        try:
            found = block(tokens)
        except Exception:  # it takes something else than tokens
            return False
    if not isinstance(found, Tensor) or found.shape != wanted.shape:
        return False
    return float((found - wanted).norm() / (wanted - tokens).norm()) > TOLERANCE
