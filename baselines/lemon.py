"""LEMON: a trained model grows in width and depth without loss, into a model that is symmetric nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from learngene_bench.expansion.growth import (
    INPUTS,
    Added,
    AxisMap,
    Copies,
    Growth,
    copied_units,
    model_of_parts,
    parts_of_model,
)
from learngene_bench.expansion.source_genes import ViTGrowth, ViTGrowthOptions
from learngene_bench.expansion.widening import copies_and_mean, projected
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from learngene_bench.contracts.context import Context


class LemonOptions(ViTGrowthOptions):
    added_blocks: Literal["cancel", "zero"] = Field(
        "cancel", description="last layers of added blocks: random numbers that cancel over copies, or zeros"
    )


class Lemon(ViTGrowth[LemonOptions]):
    """LEMON (Wang et al., 2024): lossless growth to any width, and to at most twice the depth.

    A target of D channels holds the D0 of the source q = D div D0 times; its other r channels are the mean over the
    source's. So LayerNorm's mean stays, its variance is s = q D0 / D times the source's, and behind it the r channels
    are 0. Heads and hidden units are copied one after another, again and again.

    Outputs to the residual stream (embeddings, proj, fc2): copies, and rows of the mean. q, k, v and fc1: copies.
    Norms: copies, times sqrt(s) for weights; for the r channels weights U(-1, 1) sqrt(s), biases 0.
    Inputs: a matrix starts as the base initialization R of the target, and is *projected*: of the copies C of column i

        W(:, j) = R(:, j) - (sum over k in C of R(:, k) - W0(:, i)) / |C|        for j in C

    so that they sum to the source's column and differ. Columns of the r channels, whose inputs are 0, stay R.

    Depth: the first 2 L0 - L blocks once, each later one followed by a copy whose proj and fc2 are projected onto 0
    ("cancel", the released `copymix_cancel`) or are 0 ("zero"), biases 0. Where a unit has no copy, both are 0.

    Faithful to YiteWang/lemon-pytorch, `vit/inflate_vit_utils.py`, but for LayerNorm's epsilon, which it multiplies by
    s. A method here writes weights only, so epsilon stays; that moves outputs by about epsilon / variance. Left out is
    the paper's training rule (the same peak rate, a shorter cosine), as all methods are tuned alike. A choice of this
    suite: the source has the target's depth unless `source_depth` says another one. Stored parameters: the source's.
    """

    name = "lemon"
    title = "LEMON"
    group = "transfer"
    citation = "Wang et al., LEMON: Lossless Model Expansion, ICLR 2024"
    Options = LemonOptions

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        source = self.source(target, base)
        if target.depth > 2 * source.depth:
            return f"it grows its source of {source.depth} layers to at most twice as many"
        return super().supports(target, base)

    def grown(
        self, tensors: Mapping[str, Tensor], source: ViTSpec, target: ViTSpec, context: Context
    ) -> dict[str, Tensor]:
        drawn, drawn_outside = parts_of_model(context.base_weights(target), target)
        stacks, outside = parts_of_model(tensors, source)
        copied = copied_units(source, target)
        outputs: dict[str, AxisMap] = {axis: Copies(index) for axis, index in copied.items()}
        outputs["residual"] = Added(copies_and_mean(source.width, target.width))
        once = 2 * source.depth - target.depth
        layers = torch.tensor([*range(once), *(layer for layer in range(once, source.depth) for _ in range(2))])
        is_added = torch.cat([torch.tensor([False]), layers[1:] == layers[:-1]])
        growth = Growth(dict.fromkeys(stacks, Copies(layers)), outputs)
        blocks, non_block = growth.blocks(stacks), growth.non_block(outside)
        for name in ("attn.proj.weight", "attn.proj.bias", "mlp.fc2.weight", "mlp.fc2.bias"):
            blocks[name][is_added] = 0.0
        # Columns of whole copies of the stream; those of the rest stay as they are drawn.
        columns = copied["residual"][: target.width // source.width * source.width]
        for module, axis in INPUTS.items():
            name, index = f"{module}.weight", columns if axis == "residual" else copied[axis]
            blocks[name] = projected(drawn[name], blocks[name], index)
        if self.options.added_blocks == "zero":
            blocks["attn.proj.weight"][is_added] = blocks["mlp.fc2.weight"][is_added] = 0.0
        if "head.weight" in outside:
            non_block["head.weight"] = projected(drawn_outside["head.weight"], outside["head.weight"], columns)
        generator, scale = context.generator("lemon"), math.sqrt(len(columns) / target.width)
        for part, name in ((blocks, "norm1"), (blocks, "norm2"), (non_block, "norm")):
            weight, bias = part[f"{name}.weight"].clone(), part[f"{name}.bias"].clone()
            weight[..., len(columns) :].uniform_(-1.0, 1.0, generator=generator)
            bias[..., len(columns) :] = 0.0
            part[f"{name}.weight"], part[f"{name}.bias"] = weight * scale, bias
        return model_of_parts(blocks, non_block, source)
