"""FRONT: the low frequencies of a trained model's weights, over layers, outputs and inputs (arXiv 2603.07523)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest
from learngene_bench.expansion.cosine import cosine_transform, inverse_transform, low_frequencies
from learngene_bench.expansion.growth import (
    HEADS,
    Growth,
    growth_by_matrices,
    model_of_parts,
    parts_of_model,
    shapes_of_parts,
)
from learngene_bench.expansion.source_genes import SourceInitializer, write_grown
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context


class FrontOptions(Section):
    ratio: float = Field(0.5, gt=0, le=1, description="share of the frequencies that is kept along each axis")
    channels: Literal["trained", "permuted"] = Field(
        "trained", description="order of channels, heads and hidden units before the transform: permuted is the control"
    )
    source_depth: int = Field(12, ge=1, description="layers of the trained model that is transformed")


class Front(SourceInitializer[FrontOptions, ViTSpec]):
    """FRONT (2026): what a model knows is taken to lie in the low frequencies of its weights, which fit any size.

    The layers of each component are one tensor, (layers, outputs, inputs). Its orthonormal DCT-II is taken along the
    three axes (two of vectors). The lowest frequencies, ceil(ratio n) of n along each axis, are the learngene. For a
    target they are cut or padded with zeros to its sizes and transformed back: no training, in both directions.

    Choices of this suite, as neither code nor scale is published. Padding makes numbers smaller, so the result is
    multiplied by sqrt(L'/L) sqrt(out'/out) sqrt(in/in'): outputs of a constant matrix stay as they are. Query, key and
    value are apart; the axis of heads is transformed, that within a head is not. `ratio` .5 makes about the parameters
    that the paper names for S and B (3.2, 13.0 M; Ti: 2.2 M, .7). Embeddings, final norm and, on the source task, the
    head are stored whole, and change their width in the same way; iRPE tables change their layers.

    Left out is FRONT+, 150 epochs with a regulariser of the spectrum. Without it the order of channels means nothing.
    `channels="permuted"` is the control: the same function with its residual channels, its heads and its hidden units
    in a random order, one for all layers.
    """

    name = "front"
    title = "FRONT"
    group = "learngene"
    citation = "FRONT: frequency-domain learngenes, arXiv 2603.07523, 2026"
    Options = FrontOptions

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        if target.head_dimension != base.head_dimension:
            return f"its source has heads of dimension {base.head_dimension}"
        return None

    def source(self, target: ViTSpec, base: ViTSpec) -> ViTSpec:
        return base.with_depth(self.options.source_depth)

    def gene_request(self, target: ViTSpec, base: ViTSpec) -> GeneRequest:
        settings = {"ratio": self.options.ratio, "channels": self.options.channels}
        return replace(super().gene_request(target, base), settings=settings)

    def stored_shapes(self, target: ViTSpec, base: ViTSpec) -> Mapping[str, tuple[int, ...]]:
        source = replace(self.source(target, base), classes=target.classes)
        blocks = shapes_of_parts(source, low_frequencies(source, self.options.ratio))
        return {**blocks, **source.non_block_shapes(), **source.head_shapes()}

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        source, generator = cast(ViTSpec, request.family), context.generator("front")
        weights = {name: parameter.detach() for name, parameter in context.ancestors["source"].named_parameters()}
        stacks, outside = parts_of_model(weights, source)

        def transform(count: int) -> Tensor:
            order = torch.randperm(count, generator=generator)
            return cosine_transform(count)[:, order if request.settings["channels"] == "permuted" else slice(None)]

        residual, hidden, heads = transform(source.width), transform(source.hidden), transform(source.heads)
        channels = torch.kron(heads, torch.eye(source.head_dimension))
        whole = {"residual": residual, **dict.fromkeys(HEADS, channels), "hidden": hidden}
        whole["layers"] = cosine_transform(source.depth)
        kept = {axis: whole[axis][:size] for axis, size in low_frequencies(source, request.settings["ratio"]).items()}
        blocks, non_block = (
            growth_by_matrices(stacks, kept, kept).blocks(stacks),
            growth_by_matrices((), whole, whole).non_block(outside),
        )
        return Gene(self.name, source, {**blocks, **non_block}, dict(request.settings))

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        source = cast(ViTSpec, gene.family)
        grown, old = source.in_sizes_of(target), low_frequencies(source)
        blocks = {name: gene.tensors[name] for name in shapes_of_parts(source, old)}
        non_block = {name: tensor for name, tensor in gene.tensors.items() if name not in blocks}

        def back(frequencies: Mapping[str, int]) -> Growth:
            outputs, inputs, new = {}, {}, low_frequencies(grown)
            for axis, count in frequencies.items():
                size, scale = source.head_dimension if axis in HEADS else 1, math.sqrt(new[axis] / old[axis])
                matrix = torch.kron(inverse_transform(count // size, new[axis] // size), torch.eye(size))
                outputs[axis], inputs[axis] = matrix * scale, matrix / scale
            return growth_by_matrices(blocks, outputs, inputs)

        made = back(low_frequencies(source, gene.facts["ratio"])).blocks(blocks)
        weights = model_of_parts(made, back(old).non_block(non_block), source)
        write_grown(model, weights, grown, target, head=context.same_task)
