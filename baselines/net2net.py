"""Net2Net for Vision Transformers: a trained model grows in width by copies of its channels, heads and hidden units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from learngene_bench.expansion.growth import INPUTS, copied_units, growth_by_copies, model_of_parts, parts_of_model
from learngene_bench.expansion.source_genes import ViTGrowth, ViTGrowthOptions
from learngene_bench.expansion.widening import WIDTH_NOISE, opposed_noise, repeated
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from learngene_bench.contracts.context import Context

Rule = Literal["hypercloning", "fpi", "aki"]


class Net2NetOptions(ViTGrowthOptions):
    rule: Rule = Field("hypercloning", description="units that are copied; see the method's description")
    noise: float = Field(
        WIDTH_NOISE,
        ge=0,
        description="noise that tells copies apart, relative to a layer's matrix; .316 is HyperCloning's 10 dB",
    )


class Net2Net(ViTGrowth[Net2NetOptions]):
    """Width growth by copies (Chen et al., 2016): unit j of the target copies unit g(j) of the source.

    Units are channels of the residual stream, whole heads, and hidden units. Outputs are copied; what reads a unit is
    divided by the number of its copies, so that their sum stays. The first units are those of the source, then:

    hypercloning: all units again, so the width must be a multiple. Matrices are kron(1 1' / n, W): the target computes
    exactly what its source computes (Samragh et al., 2024).

    fpi: units drawn at random (Net2Net; bert2BERT's function-preserving initialization). LayerNorm takes its mean and
    deviation over channels, so the function is kept only approximately, unless all channels have equally many copies.

    aki: as fpi, but rows beyond the source's (of matrices and their biases) are those of the source's *next* layer, of
    its last one where there is none (bert2BERT's advanced knowledge initialization). Keeps no function.

    Copies with equal numbers get equal gradients and would stay copies (docs/extending.md). HyperCloning's noise, of
    opposite sign in each pair of copies that a row reads, tells them apart and keeps the function. Its paper reports 10
    dB. Choices of this suite: 20 dB, the size of all methods that copy units; fpi has noise too; an odd last copy gets
    none, and aki none at all.

    Other choices: one g for all layers; norms and embeddings as in fpi under every rule, iRPE tables unchanged. The
    source has the base's width and the target's depth; or `source_depth` layers, whose widened stack is repeated (l mod
    L0, as in bert2BERT). bert2BERT's two-stage training is left out, and unlike its released `expand.py` rows are not
    divided, as in its paper.
    """

    name = "net2net"
    title = "Net2Net"
    group = "transfer"
    citation = "Chen et al., Net2Net, ICLR 2016; Samragh et al., HyperCloning, 2024; Chen et al., bert2BERT, ACL 2022"
    Options = Net2NetOptions

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        if target.hidden * base.width != base.hidden * target.width:
            return f"its source has an MLP of ratio {base.mlp_ratio:g}"
        if self.options.rule == "hypercloning" and target.width > base.width and target.width % base.width:
            return f"its source's width {base.width} does not divide the target's"
        return super().supports(target, base)

    def source(self, target: ViTSpec, base: ViTSpec) -> ViTSpec:
        return base.with_depth(self.options.source_depth or target.depth)

    def clones_when_widened(self) -> bool:
        return self.options.rule != "aki" and self.options.noise < 1e-5

    def grown(
        self, tensors: Mapping[str, Tensor], source: ViTSpec, target: ViTSpec, context: Context
    ) -> dict[str, Tensor]:
        rule, noise, generator = self.options.rule, self.options.noise, context.generator("net2net")
        copied = copied_units(source, target, None if rule == "hypercloning" else generator)
        layers = repeated(source.depth, target.depth)
        (stacks, non_block), growth = parts_of_model(tensors, source), growth_by_copies(copied, layers)
        blocks = growth.blocks(stacks)
        if rule == "aki":
            following = growth_by_copies(copied, (layers + 1).clamp(max=source.depth - 1)).blocks(stacks)
            for name in (name for name in blocks if not name.startswith("norm")):
                own, rows = blocks[name], stacks[name].shape[1]
                blocks[name] = torch.cat([own[:, :rows], following[name][:, rows:]], dim=1)
        elif noise:
            for module, axis in INPUTS.items():
                own = blocks[f"{module}.weight"]
                drawn = opposed_noise(own.unsqueeze(1), copied[axis], noise, generator).squeeze(1)
                blocks[f"{module}.weight"] = own + drawn
        return model_of_parts(blocks, growth.non_block(non_block), source)
