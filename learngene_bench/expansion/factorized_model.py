"""The model of shared factors, materialised at every forward pass; also narrower than its factors, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from learngene_bench.expansion.block_genes import block_expansion
from learngene_bench.expansion.materialised import MaterialisedModel, ParameterTable
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model

Tensors = Mapping[str, Tensor]
Contraction = Callable[[Tensors, Tensors, ViTSpec], dict[str, Tensor]]


@dataclass(frozen=True)
class Parts:
    """The numbers that a model of factors is made of.

    Attributes:
        factors: shared by all layers, by name.
        scalers: (L, ...), by name.
        linear: base and slope of what is no matrix, (2, *shape), by component.
        outside: parameters outside the blocks, by the model's names.
    """

    factors: Tensors
    scalers: Tensors
    linear: Tensors
    outside: Tensors


class FactorizedModel(MaterialisedModel):
    """A model whose matrices are contractions of factors and scalers.

    Args:
        spec: the model.
        whole: the same as wide as the factors; the model has its first channels.
        contract: computes all layers of the matrices of `whole`.
        flops: operations of one contraction.
        train: names those of the parts that train, or single factors; all of them by default.
        widths: widths that a batch may pass through in training; one is drawn for each. Operations are counted at the
            model's own width, which is the most.
    """

    def __init__(
        self,
        spec: ViTSpec,
        whole: ViTSpec,
        contract: Contraction,
        parts: Parts,
        *,
        flops: float = 0.0,
        train: Collection[str] = ("factors", "scalers", "linear", "outside"),
        widths: Sequence[int] = (),
    ) -> None:
        super().__init__(spec)
        self.whole, self.contract, self.flops, self.widths = whole, contract, flops, widths
        self.factors = ParameterTable(parts.factors, "factors" in train)
        self.scalers = ParameterTable(parts.scalers, "scalers" in train)
        self.linear = ParameterTable(parts.linear, "linear" in train)
        self.outside = ParameterTable(parts.outside, "outside" in train)
        for name in (name for name in parts.factors if name in train):
            getattr(self.factors, ParameterTable.key(name)).requires_grad_(True)
        self._narrower: dict[tuple[int, float], nn.Module] = {}

    def parts(self) -> Parts:
        """Copies of the parts as trained so far."""
        return Parts(*(table.detached() for table in (self.factors, self.scalers, self.linear, self.outside)))

    def weights(self) -> dict[str, Tensor]:
        whole = self.whole
        (stage,) = whole.stages()
        rows = [[1.0, layer / whole.depth] for layer in range(whole.depth)]
        expansion = block_expansion(whole, [rows], self.linear.as_dict())
        device = next(self.parameters()).device
        scalers = {name: table.to(device, non_blocking=True) for name, table in expansion.scalers.items()}
        made = type(expansion)(whole, scalers, expansion.templates).materialise()
        for component, layers in self.contract(self.factors.as_dict(), self.scalers.as_dict(), whole).items():
            made |= {stage.parameter(layer, component): weight for layer, weight in enumerate(layers.unbind(0))}
        return narrowed({**made, **self.outside.as_dict()}, self.whole, self.spec)  # type: ignore[arg-type]

    def step_flops(self) -> float:
        return self.flops

    def forward(self, images: Tensor) -> Tensor:
        width = self.spec.width
        if self.training and len(self.widths) > 1:  # from the generator that drop path draws from, which is resumed
            width = self.widths[int(torch.randint(len(self.widths), ()))]
        if width == self.spec.width:
            return super().forward(images)
        narrow, key = self.spec.with_width(width), (width, self._drop_path)
        if key not in self._narrower:
            self._narrower[key] = build_model(narrow, drop_path=self._drop_path, device="meta").train()
        with torch.autocast(images.device.type, enabled=False):
            weights = narrowed(self.weights(), self.spec, narrow)  # type: ignore[arg-type]
        result: Tensor = functional_call(self._narrower[key], weights, (images,))
        return result

    def no_weight_decay(self) -> set[str]:
        """Names of parameters without weight decay: scalers, and those that decay spares in an ordinary model too."""
        spared: set[str] = getattr(self.skeleton, "no_weight_decay", set)()
        linear = {f"linear.{ParameterTable.key(name)}" for name in self.linear.names}
        scalers = {f"scalers.{ParameterTable.key(name)}" for name in self.scalers.names}
        return linear | scalers | {f"outside.{ParameterTable.key(name)}" for name in spared}


def first_channels(tensor: Tensor, axis: int, width: int, fewer: int) -> Tensor:
    """Takes the first channels of each part of an axis, whose parts are as wide as the model: q, k, v; hidden units."""
    parts = tensor.shape[axis] // width
    return tensor.unflatten(axis, (parts, width)).narrow(axis + 1, 0, fewer).flatten(axis, axis + 1)


def narrowed(weights: Tensors, spec: ViTSpec, narrow: ViTSpec) -> dict[str, Tensor]:
    """Takes the first channels of every axis that grows with the width; differentiable.

    Args:
        weights: parameters of a model, by name.
        spec: the model.
        narrow: the same with fewer channels.
    """
    if narrow.width == spec.width:
        return dict(weights)
    shapes, made = narrow.parameter_shapes(), {}
    for name, weight in weights.items():
        for axis, (size, fewer) in enumerate(zip(tuple(weight.shape), shapes[name], strict=True)):
            weight = weight if size == fewer else first_channels(weight, axis, spec.width, narrow.width)
        made[name] = weight
    return made
