"""Training a hypernetwork: through several random Vision Transformers on each batch of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Generator, Tensor, nn
from torch.func import functional_call

from learngene_bench.baselines.ghn3.graph import Graph, graph_of
from learngene_bench.baselines.ghn3.network import GraphBatch, Hypernetwork
from learngene_bench.baselines.ghn3.prediction import predict
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.vit.modules import build_vit
from learngene_bench.training.custom_objective import CustomObjective

PENALTY = 3e-5
"""Weight of the Frobenius norms of all predicted tensors (`train_ghn_ddp.py`, `predparam_wd`)."""


@dataclass(frozen=True)
class Family:
    """The models that are drawn: all depths and widths as likely as each other.

    Heads have the base's dimension, which its widths are multiples of: a graph does not show them. All else is the
    base's.
    """

    base: ViTSpec
    depths: Sequence[int] = tuple(range(3, 13))

    @property
    def widths(self) -> list[int]:
        """All widths from half of the base's to half as much again."""
        base, step = self.base, self.base.head_dimension
        return [width for width in range(step, 3 * base.width // 2 + 1, step) if 2 * width >= base.width]

    def draw(self, count: int, generator: Generator) -> list[ViTSpec]:
        """Draws models."""
        depths = torch.randint(len(self.depths), (count,), generator=generator)
        widths = torch.randint(len(self.widths), (count,), generator=generator)
        return [
            self.model(self.depths[depth], self.widths[width])
            for depth, width in zip(depths.tolist(), widths.tolist(), strict=True)
        ]

    def model(self, depth: int, width: int) -> ViTSpec:
        return replace(self.base, depth=depth, width=width, heads=width // self.base.head_dimension, irpe=False)


class MetaBatch(CustomObjective):
    """A hypernetwork in training (`ghn3/trainer.py`): the loss is the mean over the step's models of

    cross entropy + 3e-5 sum of the Frobenius norms of what is predicted

    Measured as the family's base. What the hypernetwork does not predict is 0: a class token and its position.

    Args:
        count: models of one step.
        drop_path: stochastic depth rate of the models.
    """

    def __init__(self, hypernetwork: Hypernetwork, family: Family, count: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.hypernetwork, self.family, self.count, self.drop_path = hypernetwork, family, count, drop_path
        self.drawn: list[ViTSpec] = []
        self.operations = (0.0, 0.0)
        # No modules of this one: their parameters are on the meta device, and are replaced by what is predicted.
        self._skeletons: dict[ViTSpec, tuple[VisionTransformer, Graph]] = {}

    def sample_step(self, generator: Generator) -> None:
        self.drawn = self.family.draw(self.count, generator)

    def step_flops(self) -> tuple[float, float]:
        return self.operations

    def forward(self, images: Tensor, targets: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        if targets is None:
            base = self.family.model(self.family.base.depth, self.family.base.width)
            return self.logits([base], images)[0][0]
        logits, norm = self.logits(self.drawn, images)
        losses = [F.cross_entropy(each.float(), targets, label_smoothing=smoothing) for each in logits]
        return (torch.stack(losses).sum() + PENALTY * norm) / len(losses)

    def logits(self, specs: Sequence[ViTSpec], images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Logits (B, classes) of each of these models, and the sum of the norms of their predicted tensors."""
        models = [self.skeleton(spec) for spec in specs]
        # Not in reduced precision, as released for the decoders, and as ordinary models keep their weights.
        with torch.autocast(images.device.type, enabled=False):
            predicted = predict(self.hypernetwork, [graph for _, graph in models])
        self.operations = float(sum(spec.forward_flops() for spec in specs)), predicted.flops
        logits = [
            functional_call(model, completed(weights, spec), (images,))
            for (model, _), weights, spec in zip(models, predicted.weights, specs, strict=True)
        ]
        return logits, predicted.norm

    def skeleton(self, spec: ViTSpec) -> tuple[VisionTransformer, Graph]:
        """The model that lends its structure, and its graph."""
        if spec not in self._skeletons:
            self._skeletons[spec] = build_vit(spec, drop_path=self.drop_path, device="meta"), graph_of(spec)
        model, graph = self._skeletons[spec]
        return model.train(self.training), graph


@torch.no_grad()
def start_at_unit_variance(hypernetwork: Hypernetwork, family: Family) -> None:
    """Scales the last layers of blocks and head so that what they predict of the base has variance 1.

    Only then do matrices start with the variance 2 / fan-in that the normalisation means. The released start is some 50
    times smaller, which hardly learns in the few steps that a small preset has.
    """
    graph = graph_of(family.model(family.base.depth, family.base.width))
    device, most = hypernetwork.ln.weight.device, hypernetwork.layout.channels
    nodes = hypernetwork.encode(GraphBatch.of([graph], hypernetwork.layout, device))[0]
    matrices = torch.tensor([len(node.shape) == 2 for node in graph.nodes], device=device)
    (blocks,) = hypernetwork.decoder([nodes[matrices]], [(1, most, most)])
    _divide(hypernetwork.decoder.conv[2], blocks.std())
    heads = [bool(node.parameters) and node.parameters[0] == "head.weight" for node in graph.nodes]
    _divide(
        hypernetwork.decoder.class_layer_predictor[1],
        hypernetwork.decoder.head(nodes[torch.tensor(heads, device=device)], most).std(),
    )


def _divide(layer: nn.Module, by: Tensor) -> None:
    for parameter in layer.parameters():
        parameter.div_(by)


def completed(weights: Mapping[str, Tensor], spec: ViTSpec) -> dict[str, Tensor]:
    """All of a model's parameters: what is not predicted is 0."""
    if not spec.class_token:
        return dict(weights)
    positions = weights["pos_embed"]
    return {
        **weights,
        "pos_embed": F.pad(positions, (0, 0, 1, 0)),
        "cls_token": positions.new_zeros(1, 1, spec.width),
    }
