"""GHN-3 as a method of the suite: the hypernetwork is the gene, a target's weights are what it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from learngene_bench.baselines.ghn3.graph import graph_of
from learngene_bench.baselines.ghn3.layout import Layout, layout_of
from learngene_bench.baselines.ghn3.published import check_file, read_weights
from learngene_bench.config.section import Section
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import write_weights
from learngene_bench.util.lazy import torch
from learngene_bench.util.rng import seed_globally

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.baselines.ghn3.network import Hypernetwork
    from learngene_bench.contracts.context import Context


class Ghn3Options(Section):
    weights: Path | None = Field(None, description="a hypernetwork, safetensors; lgbench gene convert-ghn3 makes one")
    hidden: int = Field(64, ge=4, description="width of node embeddings, and channels of a predicted block")
    layers: int = Field(3, ge=1, description="Graphormer layers")
    heads: int = Field(8, ge=1, description="attention heads of a layer")

    @model_validator(mode="after")
    def _divisible(self) -> Ghn3Options:
        if self.hidden % 4 or self.hidden % self.heads:
            raise ValueError(f"4 and heads = {self.heads} must divide hidden = {self.hidden}")
        return self


class Ghn3(Initializer[Ghn3Options, ViTSpec]):
    """GHN-3 (Knyazev et al., 2023): a Graphormer reads the graph of a model, decoders predict every weight in it.

    Nodes are operations with an embedding of their kind and of their weight's shape; pairs of nodes have an attention
    bias by the lengths of the paths between them. A decoder makes blocks of at most (hidden, hidden, 16, 16), which are
    cut or repeated to a weight's shape and scaled by fan-in; noise of standard deviation 1e-5 tells copies apart.
    Equations and state dict are those of the released code (SamsungSAILMontreal/ghn3, built on facebookresearch/ppuda).

    Without `weights` the suite trains one for each size and seed, by the recipe `hypernetwork`: each batch of images
    goes through several Vision Transformers (`meta_batch_size`; 8 as published) of 3 to 12 layers and half to one and a
    half times the size's width. Its rows are called "GHN-3-style, trained here": DeepNets-1M, its million
    architectures, is not used, and the hypernetwork is by default as small as the smallest published one (hidden 64,
    3 layers, 8 heads).
    With `weights` no other option counts, sizes are read off the file, and rows are called "GHN-3, published weights".

    Kept from the base initialization: iRPE tables, a class token and its position, which are in no graph (the released
    code draws that position at random too); and the head where the target's task is not the hypernetwork's (in the
    released code `predict_class_layers=False`).

    On a task with another number of classes published hypernetworks are shown the model's own number: so does the
    released code, as it runs. It means to show the number of the training (ppuda, `ghn/layers.py`, `ShapeEncoder`), but
    looks for parameters marked "cls_w" and "cls_b", and `ghn3/nn.py`, `_map_net_params` marks them by sizes. Every
    weight depends on it, by some percent of its norm. Hypernetworks trained here are shown the only number that they
    know, that of the source task.

    Choices of this suite: every target has the graph that the released code traces of torchvision's Vision Transformer
    (`graph.py`), so positions are predicted, which that code does not do for timm's own model; a model without class
    token takes all predicted positions, where the released code, made for those with one, would draw the first at
    random and move the others by one place; edge embeddings start normal, as the released constructor leaves them, and
    not as the sinusoids that it writes first; in training here the decoders start larger (`start_at_unit_variance` in
    `meta_batch.py`), and biases and norms of the hypernetwork get no weight decay; noise has one scale
    (`prediction.py`). As WAVE prints it, nothing is stored.
    """

    name = "ghn3"
    title = "GHN-3-style, trained here"
    group = "direct"
    citation = "Knyazev et al., Can We Scale Transformers to Predict Parameters of Diverse ImageNet Models?, ICML 2023"
    Options = Ghn3Options
    recipe_fallbacks: ClassVar = {"hypernetwork": "condensation"}

    def row_title(self) -> str:
        return "GHN-3, published weights" if self.options.weights else self.title

    def ignored_recipe_fields(self, recipe: str, target: ViTSpec, base: ViTSpec) -> tuple[str, ...]:
        return ()  # also meta_batch_size is used

    def gene_request(self, target: ViTSpec, base: ViTSpec) -> GeneRequest:
        options = self.options
        if options.weights is not None:
            check_file(options.weights)
            return GeneRequest(family=base, files={"weights": options.weights})
        return GeneRequest(
            family=base,
            settings=options.model_dump(exclude={"weights"}),
            trains=("hypernetwork",),
        )

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        if "weights" in request.files:
            return Gene(self.name, request.family, read_weights(request.files["weights"]), {"published": True})
        assert isinstance(request.family, ViTSpec)
        tensors = trained(request.family, request.settings, context)
        return Gene(self.name, request.family, tensors, {"published": False})

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        weights = predicted(
            gene.tensors, target, same_task=context.same_task, published=bool(gene.facts.get("published"))
        )
        write_weights(model, completed(weights, dict(model.named_parameters()), context))


def trained(family: ViTSpec, settings: Mapping[str, Any], context: Context) -> dict[str, Tensor]:
    """Trains a hypernetwork on models around this one; gives its tensors."""
    from learngene_bench.baselines.ghn3.meta_batch import Family, MetaBatch, start_at_unit_variance
    from learngene_bench.baselines.ghn3.network import Hypernetwork

    layout = Layout(
        settings["hidden"], settings["layers"], settings["heads"], family.classes, channels=settings["hidden"]
    )
    with torch.random.fork_rng([]):
        seed_globally(context.generator("hypernetwork").initial_seed())
        hypernetwork = Hypernetwork(layout)
    models = Family(family)
    start_at_unit_variance(hypernetwork, models)
    recipe = context.recipes["hypernetwork"]
    context.train(MetaBatch(hypernetwork, models, recipe.meta_batch_size, recipe.drop_path), "hypernetwork")
    return {name: tensor.detach() for name, tensor in hypernetwork.state_dict().items()}


def loaded(tensors: Mapping[str, Tensor]) -> Hypernetwork:
    """Builds the hypernetwork of these tensors."""
    from learngene_bench.baselines.ghn3.network import Hypernetwork

    layout = layout_of({name: tuple(tensor.shape) for name, tensor in tensors.items()}, "this gene")
    with torch.device("meta"):
        hypernetwork = Hypernetwork(layout)
    # Copies: products of tensors that lie in a file, at any address, may differ in the last digit.
    hypernetwork.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    return hypernetwork.eval()


def predicted(tensors: Mapping[str, Tensor], target: ViTSpec, *, same_task: bool, published: bool) -> dict[str, Tensor]:
    """Predicts all of a model that the hypernetwork can, before noise.

    Args:
        published: True for the authors' weights, which are shown a model's own number of classes.
    """
    from learngene_bench.baselines.ghn3.prediction import predict

    hypernetwork = loaded(tensors)
    head = same_task and target.classes == hypernetwork.layout.classes
    with torch.no_grad():
        return predict(hypernetwork, [graph_of(target)], head=head, own_head=head or published).weights[0]


def completed(weights: Mapping[str, Tensor], current: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """Adds noise to predicted weights, and keeps the position that the model's class token has."""
    from learngene_bench.baselines.ghn3.prediction import with_noise

    noisy = with_noise(weights, context.generator("noise"))
    prefix = current["pos_embed"].shape[1] - weights["pos_embed"].shape[1]
    return {**noisy, "pos_embed": torch.cat([current["pos_embed"][:, :prefix], noisy["pos_embed"]], dim=1).detach()}
