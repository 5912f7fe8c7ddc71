"""Growth of a trained Vision Transformer: W(l) = sum_k A(l, k) P_out W_k P_in', with one map for each axis.

W_k is a matrix of the source's layer k, A mixes or picks layers, P_out and P_in make more outputs and inputs of those
that are there. A channel that several matrices read and write has one map: the *residual* stream (embeddings, norms,
whatever reads from or writes to it, the head's input), the *query*, *key* and *value* channels of the heads (the
projection reads what values write), and the *hidden* units of the MLP. So timm's fused qkv is three matrices here.

A method is a choice of these maps. All layers are computed at once, a component at a time, and gradients reach what the
maps are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from learngene_bench.contracts.family import SOLE_STAGE
from learngene_bench.expansion.block_genes import stacked_blocks
from learngene_bench.expansion.widening import repeated, repetitions
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

OUTPUTS = {
    "norm1": "residual",
    "attn.q": "query",
    "attn.k": "key",
    "attn.v": "value",
    "attn.proj": "residual",
    "norm2": "residual",
    "mlp.fc1": "hidden",
    "mlp.fc2": "residual",
}
"""The axis that each module of a block writes."""
INPUTS = {
    "attn.q": "residual",
    "attn.k": "residual",
    "attn.v": "residual",
    "attn.proj": "value",
    "mlp.fc1": "residual",
    "mlp.fc2": "hidden",
}
"""The axis that each matrix of a block reads."""
HEADS = ("query", "key", "value")
"""Axes of the channels of all heads, one head after another."""


class AxisMap(Protocol):
    """A linear map of one axis of a tensor. Where it differs by layers, these are the tensor's first axis."""

    def __call__(self, tensor: Tensor, axis: int) -> Tensor: ...


@dataclass(frozen=True)
class Mixture:
    """Positions that are mixtures of others: `weights`, (n, n0). For axis 0, layers, they are A, (L, L0)."""

    weights: Tensor

    def __call__(self, tensor: Tensor, axis: int) -> Tensor:
        return torch.einsum("lm,m...->l...", self.weights, tensor.movedim(axis, 0)).movedim(0, axis)


@dataclass(frozen=True)
class Added:
    """The channels that are there, and after them mixtures of them: [I; B].

    Attributes:
        rows: B, (added, channels), or (L, added, channels).
    """

    rows: Tensor

    def __call__(self, tensor: Tensor, axis: int) -> Tensor:
        channels = tensor.movedim(axis, -1)
        equation = "...c,nc->...n" if self.rows.dim() == 2 else "l...c,lnc->l...n"
        return torch.cat([channels, torch.einsum(equation, channels, self.rows)], dim=-1).movedim(-1, axis)


@dataclass(frozen=True)
class Copies:
    """Copies of what is there: position i is a copy of position `index[i]`.

    Attributes:
        index: whole numbers, (n,); or (L, n), where the tensor's first axis is layers.
        divided: True for inputs, where each copy is divided by how many there are, so that their sum stays. Of an
            index that is the same for all layers.
        scale: a factor for all.
    """

    index: Tensor
    divided: bool = False
    scale: float = 1.0

    def __call__(self, tensor: Tensor, axis: int) -> Tensor:
        if self.index.dim() == 1:
            copied = tensor.index_select(axis, self.index)
        else:
            shape = [len(self.index), *(-1 if each == axis else 1 for each in range(1, tensor.dim()))]
            copied = tensor.take_along_dim(self.index.view(shape), axis)
        if not self.divided:
            return copied * self.scale
        shape = [-1 if axis % tensor.dim() == each else 1 for each in range(tensor.dim())]
        return copied * self.scale / repetitions(self.index).view(shape)


@dataclass(frozen=True)
class Growth:
    """The maps by which a model grows; an axis without one stays as it is.

    Attributes:
        layers: by parameter of a block, with query, key and value apart (`attn.q.weight`): the map of axis 0.
        outputs: P_out by axis, also for biases, norms and embeddings.
        inputs: P_in by axis.
    """

    layers: Mapping[str, AxisMap] = field(default_factory=dict)
    outputs: Mapping[str, AxisMap] = field(default_factory=dict)
    inputs: Mapping[str, AxisMap] = field(default_factory=dict)

    def blocks(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Makes all layers of the target's blocks, (L, ...), from all of the source's, (L0, ...); see `apart`."""
        grown = {}
        for name, stack in source.items():
            module = name.removesuffix(".weight").removesuffix(".bias")
            made = self.layers[name](stack, 0) if name in self.layers else stack
            if (outputs := self.outputs.get(OUTPUTS.get(module, ""))) is not None:
                made = outputs(made, 1)
            if name.endswith("weight") and (inputs := self.inputs.get(INPUTS.get(module, ""))) is not None:
                made = inputs(made, 2)
            grown[name] = made
        return grown

    def non_block(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Makes embeddings, final norm and the head's inputs, which all belong to the residual stream."""
        outputs, inputs = self.outputs.get("residual"), self.inputs.get("residual")
        grown = {}
        for name, tensor in source.items():
            side = inputs if name == "head.weight" else outputs
            if side is None or name == "head.bias":
                grown[name] = tensor
            else:
                grown[name] = side(tensor, 0 if name.startswith(("patch_embed", "norm")) else -1)
        return grown


def parts_of(component: str) -> list[str]:
    """timm's fused qkv as three modules; others as they are."""
    return [component.replace("qkv", part) for part in "qkv"] if "qkv" in component else [component]


def shapes_of_parts(spec: ViTSpec, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Shapes of what `apart` makes of a model's blocks, where its axes have these sizes, also that of `layers`."""
    shapes = {}
    for component, shape in spec.block_shapes().items():
        for part in parts_of(component):
            module, _, kind = part.rpartition(".")
            sides = [OUTPUTS, INPUTS] if kind == "weight" else [OUTPUTS]
            shapes[part] = (sizes["layers"], *([sizes[side[module]] for side in sides if module in side] or shape))
    return shapes


def apart(blocks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Splits components (layers, ...) by timm's names into modules, query, key and value each for itself."""
    split: dict[str, Tensor] = {}
    for name, stack in blocks.items():
        parts = parts_of(name)
        split.update(zip(parts, stack.chunk(len(parts), dim=1), strict=True))
    return split


def fused(blocks: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Joins what `apart` splits, for timm's names of a block's parameters."""
    return {name: torch.cat([blocks[part] for part in parts_of(name)], dim=1) for name in names}


def copied_units(source: ViTSpec, target: ViTSpec, generator: Generator | None = None) -> dict[str, Tensor]:
    """Assigns to each unit of a wider model the one of the source that it copies, by axis; to the first ones their own.

    Heads are copied whole.

    Args:
        generator: draws the assignment of the others; without it they go through the source's units again and again.
    """

    def choose(old: int, new: int) -> Tensor:
        index = repeated(old, new)
        if generator is not None:
            index[old:] = torch.randint(old, (new - old,), generator=generator)
        return index

    heads, dimension = choose(source.heads, target.heads), source.head_dimension
    channels = (heads[:, None] * dimension + torch.arange(dimension)).flatten()
    return {
        "residual": choose(source.width, target.width),
        **dict.fromkeys(HEADS, channels),
        "hidden": choose(source.hidden, target.hidden),
    }


def growth_by_copies(copied: Mapping[str, Tensor], layers: Tensor) -> Growth:
    """Makes the growth of copied units, whose inputs are divided by the copies, and of copied layers.

    Args:
        copied: by axis, the unit of the source that each one copies.
        layers: (L,), the layer of the source that each one copies.
    """
    parts = [f"{module}.{kind}" for module in OUTPUTS for kind in ("weight", "bias")]
    parts += ["attn.rpe_q", "attn.rpe_k", "attn.rpe_v"]
    return Growth(
        dict.fromkeys(parts, Copies(layers)),
        outputs={axis: Copies(index) for axis, index in copied.items()},
        inputs={axis: Copies(index, divided=True) for axis, index in copied.items()},
    )


def growth_by_matrices(names: Iterable[str], outputs: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Growth:
    """Makes the growth of matrices (n, n0) by axis; in `outputs`, that of `layers` mixes the layers of these parts."""
    maps = [{axis: Mixture(matrix) for axis, matrix in side.items()} for side in (outputs, inputs)]
    return Growth(dict.fromkeys(names, Mixture(outputs["layers"])), *maps)


def parts_of_model(tensors: Mapping[str, Tensor], spec: ViTSpec) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Splits all parameters of a model for `Growth`: its blocks as stacks of layers, see `apart`, and the others."""
    stacks = apart(stacked_blocks(tensors, spec, [range(spec.depth)]))
    return stacks, {name: tensor for name, tensor in tensors.items() if not spec.is_in_block(name)}


def model_of_parts(blocks: Mapping[str, Tensor], non_block: Mapping[str, Tensor], spec: ViTSpec) -> dict[str, Tensor]:
    """Joins what `parts_of_model` splits, of a model with the components of this one's blocks: parameters by name."""
    layers = fused(blocks, spec.block_shapes()).items()
    named = {f"{SOLE_STAGE}.{layer}.{name}": weight for name, stack in layers for layer, weight in enumerate(stack)}
    return {**named, **non_block}
