"""Genes of whole blocks: templates as large as a block, and one number for each layer and template.

Share Init, TELG, SWS, Heru-LG and Auto-LG are this special case of W(l) = sum_t kron(S(l, t), T(t)) (WAVE, Eq. 4 and
Proposition 1). They differ in the source of the templates and in a small table of scalers; the rest is here:

- `BlockInitializer`: a target inherits templates by its own scalers, and non-block parameters as they are.
- `DistilledBlocks`: the templates are those of one auxiliary model, distilled from the preset's teacher (WAVE, Eq. 6).
- `gene_of_blocks`: the templates are blocks of a trained model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import NON_BLOCK, Gene
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer, OptionsType
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.models.weights import inherited_non_block, write_weights
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context

Scalers = list[list[float]]
"""One row for each layer, one column for each template: layer = sum of scaler * template.

A row of zeros is a layer left at its base initialization.
"""


class BlockInitializer(Initializer[OptionsType]):
    """A method whose gene holds block-sized templates.

    Attributes:
        counts_tables: True if the parameter column counts the blocks' iRPE tables. The authors' own models have none,
            so that most rows of the WAVE paper are whole blocks without; where the models here have tables, they are
            templates like everything else in a block.
    """

    counts_tables: ClassVar[bool] = False

    def settings(self) -> dict[str, Any]:
        """The settings that decide the gene and its scalers, as JSON: all that `scalers` may use. By default none."""
        return {}

    @abstractmethod
    def scalers(self, depth: int, settings: Mapping[str, Any]) -> Scalers:
        """Makes the table by which a model of this depth is made of the templates.

        Args:
            settings: those that the gene was made with.
        """

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        return target.block_mismatch(base)

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        templates = len(self.scalers(target.depth, self.settings())[0])
        counted = {n: shape for n, shape in base.block_shapes().items() if self.counts_tables or "rpe_" not in n}
        blocks = {name: (templates, *shape) for name, shape in counted.items()}
        return {**blocks, **target.non_block_shapes(), **target.head_shapes()}

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        current = dict(model.named_parameters())
        scalers = self.scalers(target.depth, gene.facts)
        family = gene.family.with_depth(target.depth)
        expanded = block_expansion(family, scalers, gene.part("templates")).materialise()
        # A layer without a template keeps its base initialization; so do iRPE tables that only one of both models has.
        layers = [f"blocks.{layer}." for layer, row in enumerate(scalers) if any(row)]
        blocks = {name: w for name, w in expanded.items() if name.startswith(tuple(layers)) and name in current}
        non_block = inherited_non_block(gene.part(NON_BLOCK), family, target, current, head=context.same_task)
        write_weights(model, {**blocks, **non_block})


class DistilledBlocks(BlockInitializer[OptionsType]):
    """A method that distils one auxiliary model, whose blocks are made of templates by fixed scalers.

    The auxiliary model's weights are materialised at every step, so only templates and non-block parameters
    (embeddings, final norm, head) train, by the preset's recipe `condensation`: KL(teacher || auxiliary) + cross
    entropy. A target is made of the same templates by the scalers of its own depth. Its fine-tuning unties the layers.
    """

    @abstractmethod
    def auxiliary_depth(self) -> int:
        """Number of blocks of the auxiliary model."""

    def initial_templates(self, name: str, layers: Tensor) -> Tensor:
        """Makes a component's templates before distillation, by default those of an ordinary model's first layers.

        Args:
            layers: (templates, *shape), drawn by the preset's base initialization.
        """
        return layers

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        return GeneRequest(
            family=base.with_depth(self.auxiliary_depth()),
            ancestors={"teacher": Distiller()},
            settings=self.settings(),
            trains=("condensation",),
        )

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        from learngene_bench.expansion.materialised import ExpandedModel

        family = request.family
        scalers = self.scalers(family.depth, request.settings)
        weights = context.base_weights(family)
        drawn = stacked_blocks(weights, family, range(len(scalers[0])))
        first = {name: self.initial_templates(name, layers) for name, layers in drawn.items()}
        expansion = block_expansion(family, scalers, first)
        non_block = {name: weight for name, weight in weights.items() if name not in expansion.names()}
        auxiliary = ExpandedModel(expansion, non_block, train=("templates", "non_block"))
        context.train(auxiliary, "condensation", teacher="teacher")
        tensors = _gene_tensors(auxiliary.templates.detached(), auxiliary.non_block.detached())
        return Gene(self.name, family, tensors, dict(request.settings))


def block_expansion(spec: ModelSpec, scalers: Scalers, templates: Mapping[str, Tensor]) -> Expansion:
    """Makes the expansion of block-sized templates (n, *shape), with scalers shared by all components."""
    table = torch.tensor(scalers)
    expanded = {name: table.view(*table.shape, *[1] * (tensor.dim() - 1)) for name, tensor in templates.items()}
    return Expansion(spec, expanded, templates)


def stacked_blocks(weights: Mapping[str, Tensor], spec: ModelSpec, layers: Sequence[int]) -> dict[str, Tensor]:
    """Stacks these blocks of a model, by component: (len(layers), *shape)."""
    return {name: torch.stack([weights[f"blocks.{layer}.{name}"] for layer in layers]) for name in spec.block_shapes()}


def gene_of_blocks(
    method: str, ancestor: nn.Module, family: ModelSpec, layers: Sequence[int], facts: Mapping[str, Any]
) -> Gene:
    """Makes the gene that holds these blocks of a trained model, and its non-block parameters.

    Args:
        family: the trained model's spec.
        facts: those of the gene; `layers` is added to them.
    """
    weights = {name: parameter.detach() for name, parameter in ancestor.named_parameters()}
    non_block = {name: weights[name] for name in {**family.non_block_shapes(), **family.head_shapes()}}
    tensors = _gene_tensors(stacked_blocks(weights, family, layers), non_block)
    return Gene(method, family, tensors, {**facts, "layers": list(layers)})


def too_few_blocks(blocks: int, target: ModelSpec, base: ModelSpec) -> str | None:
    """The reason why so many of the base's blocks are no learngene of this target, or None if they are."""
    if blocks > base.depth:
        return f"its learngene has {blocks} blocks, the ancestor only {base.depth}"
    if blocks > target.depth:
        return f"its learngene has {blocks} blocks, more than the target"
    return None


def one_hot(layer: int, templates: int) -> list[float]:
    """Makes the scalers of a layer that copies one template; zeros if there is no template of this number."""
    return [float(layer == template) for template in range(templates)]


def _gene_tensors(templates: Mapping[str, Tensor], non_block: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        **{f"templates/{name}": tensor for name, tensor in templates.items()},
        **{f"{NON_BLOCK}/{name}": tensor for name, tensor in non_block.items()},
    }
