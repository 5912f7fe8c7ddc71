"""Genes of whole blocks: templates as large as a block, and one number for each layer and template.

Share Init, TELG, SWS, Heru-LG and Auto-LG are this special case of W(l) = sum_t kron(S(l, t), T(t)) (WAVE, Eq. 4 and
Proposition 1). They differ in the source of the templates and in a small table of scalers; the rest is here:

- `BlockInitializer`: a target inherits templates by its own scalers, and non-block parameters as they are.
- `DistilledBlocks`: the templates are those of one auxiliary model, distilled from the preset's teacher (WAVE, Eq. 6).
- `gene_of_blocks`: the templates are blocks of a trained model.

A model of several stages is made stage by stage: each has templates of its own, and the scalers of its own depth.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import NON_BLOCK, Gene
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer, OptionsType
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.models.weights import inherited_blocks, inherited_non_block, write_weights
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
        """Makes the table by which a stage of this depth is made of the templates.

        Args:
            settings: those that the gene was made with.
        """

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        return target.block_mismatch(base)

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        templates = self._templates(target)
        blocks = {
            component: (templates, *stage.shapes[name])
            for component, (stage, name) in base.components().items()
            if self.counts_tables or "rpe_" not in name
        }
        return {**blocks, **target.non_block_shapes(), **target.head_shapes()}

    def _templates(self, spec: ModelSpec) -> int:
        """Counts the templates of each stage."""
        return len(self.scalers(spec.stages()[0].depth, self.settings())[0])

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        current = dict(model.named_parameters())
        family = gene.family.in_sizes_of(target)
        scalers = [self.scalers(stage.depth, gene.facts) for stage in family.stages()]
        known = family.components()
        templates = {name: tensor for name, tensor in gene.part("templates").items() if name in known}
        expanded = block_expansion(family, scalers, templates).materialise()
        # A layer without a template keeps its base initialization; so do iRPE tables that only one of both models has.
        layers = [
            stage.parameter(layer, "")
            for stage, rows in zip(family.stages(), scalers, strict=True)
            for layer, row in enumerate(rows)
            if any(row)
        ]
        chosen = {name: weight for name, weight in expanded.items() if name.startswith(tuple(layers))}
        blocks = inherited_blocks(chosen, family, target)
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

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        auxiliary = base.with_depth(self.auxiliary_depth())
        return too_shallow_auxiliary(self._templates(auxiliary), auxiliary) or super().supports(target, base)

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
        scalers = [self.scalers(stage.depth, request.settings) for stage in family.stages()]
        weights = context.base_weights(family)
        drawn = stacked_blocks(weights, family, [range(len(rows[0])) for rows in scalers])
        first = {name: self.initial_templates(name, layers) for name, layers in drawn.items()}
        expansion = block_expansion(family, scalers, first)
        in_blocks = expansion.names()
        non_block = {name: weight for name, weight in weights.items() if name not in in_blocks}
        auxiliary = ExpandedModel(expansion, non_block, train=("templates", "non_block"))
        context.train(auxiliary, "condensation", teacher="teacher")
        tensors = _gene_tensors(auxiliary.templates.detached(), auxiliary.non_block.detached())
        return Gene(self.name, family, tensors, dict(request.settings))


def block_expansion(spec: ModelSpec, scalers: Sequence[Scalers], templates: Mapping[str, Tensor]) -> Expansion:
    """Makes the expansion of block-sized templates (n, *shape).

    Args:
        scalers: for each stage, the table that all its components share.
    """
    tables = {stage.component(""): torch.tensor(rows) for stage, rows in zip(spec.stages(), scalers, strict=True)}
    components = spec.components()
    expanded = {}
    for component, tensor in templates.items():
        table = tables[components[component][0].component("")]
        expanded[component] = table.view(*table.shape, *[1] * (tensor.dim() - 1))
    return Expansion(spec, expanded, templates)


def stacked_blocks(
    weights: Mapping[str, Tensor], spec: ModelSpec, layers: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Stacks blocks of a model, by component: (number of layers, *shape).

    Args:
        layers: for each stage, the layers that are stacked.
    """
    return {
        stage.component(name): torch.stack([weights[stage.parameter(layer, name)] for layer in chosen])
        for stage, chosen in zip(spec.stages(), layers, strict=True)
        for name in stage.shapes
    }


def gene_of_blocks(
    method: str, ancestor: nn.Module, family: ModelSpec, layers: Sequence[Sequence[int]], facts: Mapping[str, Any]
) -> Gene:
    """Makes the gene that holds these blocks of a trained model, and its non-block parameters.

    Args:
        family: the trained model's spec.
        layers: for each stage, the layers whose blocks are taken.
        facts: those of the gene; `layers` is added to them.
    """
    weights = {name: parameter.detach() for name, parameter in ancestor.named_parameters()}
    non_block = {name: weights[name] for name in {**family.non_block_shapes(), **family.head_shapes()}}
    tensors = _gene_tensors(stacked_blocks(weights, family, layers), non_block)
    # A model of one stage has one list, as genes of earlier versions do.
    taken = [list(chosen) for chosen in layers] if len(layers) > 1 else list(layers[0])
    return Gene(method, family, tensors, {**facts, "layers": taken})


def too_few_blocks(blocks: int, target: ModelSpec, base: ModelSpec) -> str | None:
    """The reason why so many of the base's blocks, of each stage, are no learngene of this target; None if they are."""
    each = " in each stage" if len(target.stages()) > 1 else ""
    if blocks > (fewest := min(stage.depth for stage in base.stages())):
        return f"its learngene has {blocks} blocks{each}, the ancestor only {fewest}"
    if blocks > min(stage.depth for stage in target.stages()):
        return f"its learngene has {blocks} blocks{each}, more than the target"
    return None


def too_shallow_auxiliary(blocks: int, auxiliary: ModelSpec) -> str | None:
    """The reason why so many blocks of an auxiliary model's stages cannot start as templates; None if they can."""
    shallow = min(stage.depth for stage in auxiliary.stages())
    if len(auxiliary.stages()) > 1 and shallow < blocks:
        return f"it needs {blocks} blocks in each stage of its auxiliary model, one stage has {shallow}"
    return None


def one_hot(layer: int, templates: int) -> list[float]:
    """Makes the scalers of a layer that copies one template; zeros if there is no template of this number."""
    return [float(layer == template) for template in range(templates)]


def _gene_tensors(templates: Mapping[str, Tensor], non_block: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        **{f"templates/{name}": tensor for name, tensor in templates.items()},
        **{f"{NON_BLOCK}/{name}": tensor for name, tensor in non_block.items()},
    }
