"""WAVE: weight templates, joined by Kronecker products (arXiv 2406.17503)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import NON_BLOCK, Gene
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer
from learngene_bench.expansion.algebra import Expansion, over_relative_depth
from learngene_bench.expansion.block_genes import too_shallow_auxiliary
from learngene_bench.expansion.widening import WIDTH_NOISE, opposed_noise, repeated
from learngene_bench.methods.wave.layout import Layout, Part, components, widen_non_block
from learngene_bench.models.weights import inherited_blocks, inherited_non_block, write_weights
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context


class WaveOptions(Section):
    auxiliary_depth: int = Field(12, ge=2, description="blocks of the auxiliary model that is condensed")
    per_position: int = Field(2, ge=1, le=3, description="templates per block position (Table 5: 1 fewer, 3 more)")
    template_size: int | None = Field(None, ge=1, description="side of a template; the base width when not given")
    template_divisor: int = Field(1, ge=1, description="number of parts of a side that is not given (Table 5: 2)")
    parts: tuple[Part, ...] = Field(
        ("attention", "projection", "mlp", "norm"), description="parts of a block that are made of templates (Table 4)"
    )
    inheritance: Literal["padding", "interpolate"] = Field(
        "padding",
        description="start of a target's scalers: linear padding (Eq. 7), or the auxiliary model's, interpolated",
    )
    learn_scalers: bool = Field(True, description="false: the control without scaler learning")
    noise: float = Field(1e-6, ge=0, description="standard deviation of the noise on a target's first scalers (Eq. 7)")
    width_scaling: Literal["divide", "none"] = Field(
        "divide",
        description="wider targets: divide scalers by the repetitions of an input (Net2Net), or not (Eq. 7 as printed)",
    )
    width_noise: float = Field(
        WIDTH_NOISE,
        ge=0,
        description="wider targets: noise that tells repeated blocks apart, relative to a layer's scalers",
    )
    train_non_block: bool = Field(
        True, description="wider targets: embeddings, final norm and head train together with the scalers"
    )

    @model_validator(mode="after")
    def _one_layer_for_each_power(self) -> WaveOptions:
        if self.auxiliary_depth < self.per_position:
            raise ValueError("auxiliary_depth must be at least per_position")
        return self


class Wave(Initializer[WaveOptions]):
    """WAVE: W(l) = sum_t kron(S(l, t), T(t)) (Eq. 4), templates T shared by all targets, scalers S learned for each.

    *Condensation* (Algorithm 1): a 12-layer auxiliary model, whose weights are materialised from templates and scalers
    at every step, is distilled from the preset's teacher by KL + cross entropy (Eq. 6). Templates, scalers, embeddings,
    final norm and head train; the auxiliary model's weights are made of them at every step.
    *Inheritance*: templates are fixed; a target's scalers start from linear padding (Eq. 7), learn for a few hundred
    iterations on source data, and the materialised weights are written into a plain model.

    From the paper's Table 8 follow two templates per block position: qkv 6, proj 2, fc1 8, fc2 8, each D x D; four
    templates per bias and norm vector, six per iRPE table, with one scaler each.

    Read off the paper by arithmetic, as Eq. 7 is not fully legible: of a position's templates the first starts with
    scaler 1, the second with (l - 1) / (L - 1), so that WAVE starts as TELG's base and slope.

    Choices of this suite: the auxiliary depth (12); a third template per position starts with the square of relative
    depth; vectors' third and further templates start small with scaler 0.

    Targets wider than the base are beyond what the paper writes down. Here they follow Net2Net: blocks are repeated and
    divided by how often an input is repeated, where Eq. 7 as printed has ones (`width_scaling`). Copies would get the
    same gradients and stay copies, so that a wide target would compute no more than a narrow one; noise that cancels
    over each pair of copies tells them apart and keeps the function (`width_noise`, .1 is 20 dB). Embeddings, final
    norm and head have another width than the gene's, so they are repeated too and train together with the scalers
    (`train_non_block`): at these targets it is not scalers alone that learn, and tables count all that does.
    docs/tiny-imagenet-laptop.md has the measurements by which the defaults were chosen.

    Models of several stages (Swin, ConvNeXt) are beyond the paper too. Each stage has templates and scalers of its own,
    and layers are counted within it. Templates are larger by as much as a stage is wider than the first, so that every
    stage has the grids of Table 8. A depthwise convolution counts as attention: two templates per position, which is a
    block of channels. `gamma` and the response normalization of a ConvNeXt count as vectors of the MLP; Swin's tables
    of position biases, or the networks that make them, as iRPE tables, its scales of attention as vectors. What starts
    alike in all layers starts with slope 0, as in TELG. Layers between stages are inherited like embeddings.
    """

    name = "wave"
    title = "WAVE"
    group = "learngene"
    version = 1
    citation = "Feng et al., WAVE: Weight Template for Adaptive Initialization of Variable-sized Models, 2024"
    families = ("vit", "swin", "convnext")
    Options = WaveOptions

    def trains(self) -> tuple[str, ...]:
        return ("inheritance",) if self.options.learn_scalers else ()

    def ignored_recipe_fields(self, recipe: str, target: ModelSpec, base: ModelSpec) -> tuple[str, ...]:
        # Scalers have no weight decay. Embeddings and head have, where they train too.
        decays = recipe != "inheritance" or (target.width > base.width and self.options.train_non_block)
        return ("meta_batch_size",) if decays else ("meta_batch_size", "weight_decay")

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        if target.width < base.width:
            return f"its templates of width {base.width} are wider than the target"
        try:
            as_wide = base.with_width(target.width)
            auxiliary = base.with_depth(self.options.auxiliary_depth)
        except UserError as error:
            return str(error)
        fewest = max(2, self.options.per_position)
        if reason := target.block_mismatch(as_wide) or too_shallow_auxiliary(fewest, auxiliary):
            return reason
        size = self._template_size(target, base)
        return Layout(base, size, 1).misfit() or Layout(target, size, 1).misfit()

    def clones_when_widened(self) -> bool:
        # Queries and keys alone are told apart by projections that are no copies.
        made = set(self.options.parts)
        closed = "mlp" in made or made >= {"attention", "projection"}
        return closed and max(self.options.noise, self.options.width_noise) < 1e-5

    def _template_size(self, target: ModelSpec, base: ModelSpec) -> int:
        """D x D templates; where D does not tile the target's width, the largest that tile both."""
        size = math.gcd(base.width, target.width)
        # A side that is no whole number would cut heads: `supports` refuses what does not tile.
        return self.options.template_size or -(-size // self.options.template_divisor)

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        settings = {
            "template_size": self._template_size(target, base),
            "per_position": self.options.per_position,
            "parts": sorted(self.options.parts),
        }
        return GeneRequest(
            family=base.with_depth(self.options.auxiliary_depth),
            ancestors={"teacher": Distiller()},
            settings=settings,
            trains=("condensation",),
        )

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        # Templates do not depend on the depth, so the base stands for the auxiliary model.
        layout = Layout(base, self._template_size(target, base), self.options.per_position)
        templates = {name: layout.template_shape(name) for name in components(base, self.options.parts)}
        return {**templates, **target.non_block_shapes(), **target.head_shapes()}

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        from learngene_bench.expansion.materialised import ExpandedModel

        family = request.family
        layout = Layout(family, request.settings["template_size"], request.settings["per_position"])
        weights = context.base_weights(family)
        generator = context.generator("templates")
        names = components(family, request.settings["parts"])
        templates = {name: layout.initial_templates(name, weights, generator) for name in names}
        places = family.components()
        scalers = {name: layout.padding(name, places[name][0].depth) for name in names}
        expansion = Expansion(family, scalers, templates)
        made = expansion.names()
        others = {name: weight for name, weight in weights.items() if name not in made}
        auxiliary = ExpandedModel(expansion, others)
        context.train(auxiliary, "condensation", teacher="teacher")
        outside = {**family.non_block_shapes(), **family.head_shapes()}
        tensors = {
            **{f"templates/{name}": tensor for name, tensor in auxiliary.templates.detached().items()},
            **{f"scalers/{name}": tensor for name, tensor in auxiliary.scalers.detached().items()},
            **{f"{NON_BLOCK}/{name}": each for name, each in auxiliary.non_block.detached().items() if name in outside},
        }
        return Gene(self.name, family, tensors, dict(request.settings))

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        from learngene_bench.expansion.materialised import ExpandedModel

        assert gene is not None
        family, current = gene.family, dict(model.named_parameters())
        layout = Layout(family, gene.facts["template_size"], gene.facts["per_position"])
        templates, learned, outside = (gene.part(part) for part in ("templates", "scalers", NON_BLOCK))
        # Scalers are learned on the source task, so by a model with the family's image size and classes.
        learner = family.in_sizes_of(target)
        places = learner.components()
        generator = context.generator("scalers")
        scalers = {}
        for name in templates:
            depth = places[name][0].depth
            if self.options.inheritance == "padding":
                start = layout.padding(name, depth)
            else:
                start = over_relative_depth(learned[name], depth)
            widened = layout.widen(name, start, target.width, divide=self.options.width_scaling == "divide")
            scalers[name] = widened + self.options.noise * torch.randn(widened.shape, generator=generator)
            if self.options.width_noise and target.width > family.width and layout.is_matrix(name):
                copied = repeated(layout.grid(name)[1], widened.shape[-1])
                scalers[name] += opposed_noise(widened, copied, self.options.width_noise, generator)
        expansion = Expansion(learner, scalers, templates)
        made = expansion.names()
        # Parameters of the blocks that are not made of templates keep the target's base initialization.
        drawn = context.base_weights(learner)
        drawn |= {
            name: weight.detach()
            for name, weight in current.items()
            if name in drawn and weight.shape == drawn[name].shape
        }
        others = {name: weight for name, weight in drawn.items() if learner.is_in_block(name) and name not in made}
        others |= widen_non_block(outside, family, family.with_width(target.width))
        trains = {"scalers"}
        if target.width > family.width and self.options.train_non_block:
            trains.add("non_block")
        network = ExpandedModel(expansion, others, trains)
        if self.options.learn_scalers:
            context.train(network, "inheritance")
        blocks = inherited_blocks(network.expansion().materialise(), learner, target)
        non_block = inherited_non_block(network.non_block.detached(), learner, target, current, head=context.same_task)
        write_weights(model, {**blocks, **non_block})
