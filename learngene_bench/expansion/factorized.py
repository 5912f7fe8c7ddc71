"""Genes of shared factors: a matrix of a block is a product of factors that layers share and of numbers of its own.

FINE and SWEET are such methods. They differ in the contraction; the rest is here. What is no matrix (norms, biases,
tables) is linear in depth as in TELG, W(l) = base + l / L * slope. A narrower target takes the first channels of every
axis that grows with the width: whole heads, and as many of each block of hidden units.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.gene import NON_BLOCK, Gene
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer
from learngene_bench.expansion.algebra import over_relative_depth
from learngene_bench.expansion.block_genes import stacked_blocks
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import inherited_blocks, inherited_non_block, write_weights
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context

MATRICES = ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight")
"""The components that are made of factors."""

Tensors = Mapping[str, "Tensor"]


class FactorizedOptions(Section):
    """The options of a `FactorizedBlocks`."""

    auxiliary_depth: int = Field(12, ge=2, description="blocks of the auxiliary model that is condensed")
    smallest_width: float = Field(
        1.0,
        gt=0,
        le=1,
        description="condensation: each batch sees a width between this part of the whole and the whole",
    )
    learn_scalers: bool = Field(True, description="false: the control without learning in a target")


FactorizedOptionsType = TypeVar("FactorizedOptionsType", bound=FactorizedOptions)


class FactorizedBlocks(Initializer[FactorizedOptionsType, ViTSpec]):
    """A method whose matrices are contractions of factors, shared by all layers, and scalers, which each layer has.

    *Condensation*: an auxiliary model, materialised from factors and scalers at every step, is distilled from the
    preset's teacher by KL + cross entropy; all train. *Inheritance*: a target's scalers start as the auxiliary model's,
    interpolated over relative depth, and learn on source data; so do `learned_factors`, and where the target is
    narrower, embeddings, final norm and head. Then the weights are written into a plain model.
    """

    def learned_factors(self) -> Collection[str]:
        """Names the factors that learn in a target too; by default none."""
        return ()

    def settings(self) -> dict[str, Any]:
        """The settings that shape the factors, as JSON."""
        return {}

    @abstractmethod
    def factor_shapes(self, family: ViTSpec, settings: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the factors, by name."""

    @abstractmethod
    def start(
        self, layers: Tensors, family: ViTSpec, settings: Mapping[str, Any], context: Context
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Makes factors and scalers (L, ...) before condensation.

        Args:
            layers: an ordinary model's matrices, by component, (L, *shape).
        """

    @abstractmethod
    def contract(self, factors: Tensors, scalers: Tensors, family: ViTSpec) -> dict[str, Tensor]:
        """Computes all layers of the matrices: by component, (L, *shape); differentiable."""

    @abstractmethod
    def contraction_flops(self, family: ViTSpec, settings: Mapping[str, Any]) -> float:
        """Floating-point operations of one `contract` for the family's depth."""

    def trains(self) -> tuple[str, ...]:
        return ("inheritance",) if self.options.learn_scalers else ()

    def ignored_recipe_fields(self, recipe: str, target: ViTSpec, base: ViTSpec) -> tuple[str, ...]:
        # Scalers have no weight decay. Factors and embeddings have, where they train.
        decays = recipe != "inheritance" or self.learned_factors() or target.width < base.width
        return ("meta_batch_size",) if decays else ("meta_batch_size", "weight_decay")

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        if target.width > base.width:
            return f"its factors have {base.width} channels, fewer than the target"
        if base.hidden % base.width:
            return f"its MLP has {base.hidden} hidden units, no multiple of the width {base.width}"
        if target.head_dimension != base.head_dimension:
            return f"its heads have dimension {base.head_dimension}"
        try:
            return target.block_mismatch(base.with_width(target.width))
        except UserError as error:
            return str(error)

    def gene_request(self, target: ViTSpec, base: ViTSpec) -> GeneRequest:
        return GeneRequest(
            family=base.with_depth(self.options.auxiliary_depth),
            ancestors={"teacher": Distiller()},
            settings={"smallest_width": self.options.smallest_width, **self.settings()},
            trains=("condensation",),
        )

    def stored_shapes(self, target: ViTSpec, base: ViTSpec) -> Mapping[str, tuple[int, ...]]:
        linear = {name: (2, *shape) for name, shape in base.block_shapes().items() if not _is_apart(name)}
        factors = self.factor_shapes(base, self.settings())
        return {**factors, **linear, **target.non_block_shapes(), **target.head_shapes()}

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        from learngene_bench.expansion.factorized_model import FactorizedModel, Parts

        family, settings = request.family, request.settings
        assert isinstance(family, ViTSpec)
        weights = context.base_weights(family)
        layers = stacked_blocks(weights, family, [range(family.depth)])
        factors, scalers = self.start({name: layers[name] for name in MATRICES}, family, settings, context)
        # As in TELG: what starts alike in all layers has slope 0.
        linear = {
            name: torch.stack([each[0], torch.zeros_like(each[0]) if torch.equal(each[0], each[1]) else each[1]])
            for name, each in layers.items()
            if name not in MATRICES
        }
        outside = {name: weights[name] for name in {**family.non_block_shapes(), **family.head_shapes()}}
        parts = Parts(factors, scalers, linear, outside)
        step = family.width_step()
        smallest = -(-int(settings["smallest_width"] * family.width) // step) * step
        auxiliary = FactorizedModel(
            family,
            family,
            self.contract,
            parts,
            flops=self.contraction_flops(family, settings),
            widths=range(max(step, smallest), family.width + 1, step),
        )
        context.train(auxiliary, "condensation", teacher="teacher")
        made = auxiliary.parts()
        tensors = {
            **{f"factors/{name}": tensor for name, tensor in made.factors.items()},
            **{f"scalers/{name}": tensor for name, tensor in made.scalers.items()},
            **{f"linear/{name}": tensor for name, tensor in made.linear.items()},
            **{f"{NON_BLOCK}/{name}": tensor for name, tensor in made.outside.items()},
        }
        return Gene(self.name, family, tensors, dict(settings))

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        from learngene_bench.expansion.factorized_model import FactorizedModel, Parts

        assert gene is not None
        assert isinstance(gene.family, ViTSpec)
        learner, whole = gene.family.in_sizes_of(target), gene.family.with_depth(target.depth)
        scalers = {name: over_relative_depth(each, target.depth) for name, each in gene.part("scalers").items()}
        parts = Parts(gene.part("factors"), scalers, gene.part("linear"), gene.part(NON_BLOCK))
        narrower = {"outside"} if target.width < whole.width else set()
        network = FactorizedModel(
            learner,
            whole,
            self.contract,
            parts,
            flops=self.contraction_flops(whole, gene.facts),
            train={"scalers", *self.learned_factors(), *narrower},
        )
        if self.options.learn_scalers:
            context.train(network, "inheritance")
        weights = {name: weight.detach() for name, weight in network.weights().items()}
        current = dict(model.named_parameters())
        non_block = inherited_non_block(weights, learner, target, current, head=context.same_task)
        write_weights(model, {**inherited_blocks(weights, learner, target), **non_block})


def _is_apart(name: str) -> bool:
    """True for what the column of parameters does not count as linear: matrices and iRPE tables."""
    return name in MATRICES or "rpe_" in name
