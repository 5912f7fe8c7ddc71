"""Training through an expansion: modules whose parameters are the templates and scalers that weights are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.models.weights import build_model


class ParameterTable(nn.Module):
    """A dictionary of parameters whose names may contain dots."""

    def __init__(self, tensors: Mapping[str, Tensor], trainable: bool) -> None:
        super().__init__()
        self.names = list(tensors)
        for name, tensor in tensors.items():
            self.register_parameter(self.key(name), nn.Parameter(tensor.detach().clone(), trainable))

    @staticmethod
    def key(name: str) -> str:
        """The name under which torch knows a parameter."""
        return name.replace(".", "/")

    def as_dict(self) -> dict[str, Tensor]:
        """The parameters themselves; gradients reach them."""
        return {name: getattr(self, self.key(name)) for name in self.names}

    def detached(self) -> dict[str, Tensor]:
        """Copies that no gradient reaches."""
        return {name: tensor.detach().clone() for name, tensor in self.as_dict().items()}


class MaterialisedModel(nn.Module):
    """A model whose weights are computed from this module's parameters at every forward pass.

    The weights are never parameters: gradients reach what they are made of through `torch.func.functional_call`. The
    skeleton, which lends its structure, lives on the meta device.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self._drop_path = 0.0
        self._skeleton: tuple[nn.Module, ...] = ()

    def set_drop_path(self, rate: float) -> None:
        """Sets the stochastic depth rate while training; `Context.train` sets that of its recipe."""
        if rate != self._drop_path:
            self._drop_path, self._skeleton = rate, ()

    @property
    def skeleton(self) -> nn.Module:
        """The model without weights, built when it is first needed."""
        if not self._skeleton:
            skeleton = build_model(self.spec, drop_path=self._drop_path, device="meta").train(self.training)
            # In a tuple, so that the skeleton's meta parameters are not parameters of this module. Its buffers have
            # values, and follow this module to another device.
            self._skeleton = (skeleton,)
            device = next((parameter.device for parameter in self.parameters()), None)
            for name, buffer in skeleton.named_buffers():
                self.register_buffer(ParameterTable.key(name), buffer.to(device), persistent=False)
        return self._skeleton[0]

    def weights(self) -> dict[str, Tensor]:
        """Every parameter of the model, materialised."""
        raise TypeError(f"{type(self).__name__} must define weights()")

    def step_flops(self) -> float:
        """Floating-point operations of one `weights`, which do not depend on the batch."""
        return 0.0

    def forward(self, images: Tensor) -> Tensor:
        # Not in reduced precision: ordinary models keep their weights in float32 under autocast too.
        with torch.autocast(images.device.type, enabled=False):
            weights = self.weights()
        skeleton = self.skeleton
        buffers = {name: getattr(self, ParameterTable.key(name)) for name, _ in skeleton.named_buffers()}
        return functional_call(skeleton, {**weights, **buffers}, (images,))

    def train(self, mode: bool = True) -> Self:
        for skeleton in self._skeleton:
            skeleton.train(mode)
        return super().train(mode)


class ExpandedModel(MaterialisedModel):
    """A model whose blocks are made by an expansion.

    Args:
        expansion: gives parameters of the blocks.
        non_block: all other parameters by the model's names: embeddings, final norm, head, and whatever parameters of
            the blocks the expansion does not give.
        train: names those of "templates", "scalers" and "non_block" that train; the others are fixed.
    """

    def __init__(
        self,
        expansion: Expansion,
        non_block: Mapping[str, Tensor],
        train: Collection[str] = ("templates", "scalers", "non_block"),
    ) -> None:
        super().__init__(expansion.spec)
        self.templates = ParameterTable(expansion.templates, "templates" in train)
        self.scalers = ParameterTable(expansion.scalers, "scalers" in train)
        self.non_block = ParameterTable(non_block, "non_block" in train)

    def expansion(self) -> Expansion:
        """The expansion as trained so far."""
        return Expansion(self.spec, self.scalers.as_dict(), self.templates.as_dict())

    def weights(self) -> dict[str, Tensor]:
        return {**self.non_block.as_dict(), **self.expansion().materialise()}

    def step_flops(self) -> float:
        return float(self.expansion().flops())

    def no_weight_decay(self) -> set[str]:
        """Names of parameters without weight decay (read by timm): those that decay spares in an ordinary model too."""
        scalers = {f"scalers.{ParameterTable.key(name)}" for name in self.scalers.names}
        # By the parameter's own shape: templates of a vector may have more axes than it.
        shapes = {component: stage.shapes[name] for component, (stage, name) in self.spec.components().items()}
        vectors = {f"templates.{ParameterTable.key(name)}" for name in self.templates.names if len(shapes[name]) == 1}
        spared: set[str] = getattr(self.skeleton, "no_weight_decay", set)()  # of timm's models: positions, class token
        components = self.spec.components()
        vectors |= {
            f"templates.{ParameterTable.key(name)}"
            for name in self.templates.names
            if components[name][0].parameter(0, components[name][1]) in spared
        }
        return scalers | vectors | {f"non_block.{ParameterTable.key(name)}" for name in spared}
