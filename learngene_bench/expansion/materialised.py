"""Training through an expansion: modules whose parameters are what weights are made of, not the weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.models.weights import build_model


class TensorTable(nn.Module):
    """Parameters by arbitrary names, dots included."""

    def __init__(self, tensors: Mapping[str, Tensor], trainable: bool) -> None:
        super().__init__()
        self.names = list(tensors)
        for name, tensor in tensors.items():
            self.register_parameter(self.key(name), nn.Parameter(tensor.detach().clone(), trainable))

    @staticmethod
    def key(name: str) -> str:
        return name.replace(".", "/")

    def as_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, self.key(name)) for name in self.names}

    def detached(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.as_dict().items()}


class MaterialisedModel(nn.Module):
    """A Vision Transformer whose weights are computed from this module's parameters at every forward pass.

    They are never free parameters: gradients reach what they are made of through `torch.func.functional_call`, and the
    skeleton that lends its structure lives on the meta device.

    Args:
        drop_path: stochastic depth rate while training.
    """

    def __init__(self, spec: ModelSpec, drop_path: float = 0.0) -> None:
        super().__init__()
        self.spec = spec
        # In a tuple, so that the skeleton's meta parameters are not parameters of this module.
        self._skeleton = (build_model(spec, drop_path=drop_path, device="meta"),)

    def weights(self) -> dict[str, Tensor]:
        """Every parameter of the timm model, materialised."""
        raise TypeError(f"{type(self).__name__} must define weights()")

    def step_flops(self) -> float:
        """Operations of one `weights`, which do not depend on the batch."""
        return 0.0

    def forward(self, images: Tensor) -> Tensor:
        # Not in reduced precision: ordinary models keep their weights in float32 under autocast too.
        with torch.autocast(images.device.type, enabled=False):
            weights = self.weights()
        return functional_call(self._skeleton[0], weights, (images,))

    def train(self, mode: bool = True) -> Self:
        self._skeleton[0].train(mode)
        return super().train(mode)


class ExpandedModel(MaterialisedModel):
    """A model whose blocks are made by an expansion.

    Args:
        expansion: gives parameters of the blocks.
        stem: all other parameters by timm's names: patch and position embedding, final norm, head, and whatever
            parameters of the blocks the expansion does not give.
        train: which of "templates", "scalers" and "stem" train; the others are fixed.
    """

    def __init__(
        self,
        expansion: Expansion,
        stem: Mapping[str, Tensor],
        train: Collection[str] = ("templates", "scalers", "stem"),
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(expansion.spec, drop_path)
        self.templates = TensorTable(expansion.templates, "templates" in train)
        self.scalers = TensorTable(expansion.scalers, "scalers" in train)
        self.stem = TensorTable(stem, "stem" in train)

    def expansion(self) -> Expansion:
        return Expansion(self.spec, self.scalers.as_dict(), self.templates.as_dict())

    def weights(self) -> dict[str, Tensor]:
        return {**self.stem.as_dict(), **self.expansion().materialise()}

    def step_flops(self) -> float:
        return float(self.expansion().flops())

    def no_weight_decay(self) -> set[str]:
        """Names that get no weight decay (read by timm): what an ordinary model's decay would not reach either."""
        unscaled = {f"scalers.{TensorTable.key(name)}" for name in self.scalers.names}
        # By the parameter's own shape: templates of a vector may have more axes than it.
        shapes = self.spec.block_shapes()
        vectors = {f"templates.{TensorTable.key(name)}" for name in self.templates.names if len(shapes[name]) == 1}
        return unscaled | vectors | {"stem.pos_embed", "stem.cls_token"}
