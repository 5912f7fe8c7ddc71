"""Tensors before any model: base initialization, what is taken over from outside the blocks, writing into a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.models.spec import ModelSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


def xavier(shape: tuple[int, ...], generator: Generator, parts: int = 1) -> Tensor:
    """A Xavier-uniform matrix; axes after the first are columns (a patch convolution is a matrix too).

    Args:
        parts: matrices stacked along the rows, each of which counts for itself: 3 for query, key and value
            (MoCo-v3, `vits.py:32-47`).
    """
    rows, columns = shape[0], math.prod(shape[1:])
    bound = math.sqrt(6.0 / (rows / parts + columns))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def base_weights(spec: ModelSpec, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
    """Every parameter of a model of this spec at its base value, see `BaseInitialization`.

    Numbers are drawn on the CPU in the order of timm's parameters, so weights do not depend on the device.
    """
    return {name: _base_value(name, shape, base, generator) for name, shape in spec.parameter_shapes().items()}


def _base_value(name: str, shape: tuple[int, ...], base: BaseInitialization, generator: Generator) -> Tensor:
    value = torch.zeros(shape)
    if name == "pos_embed":
        return torch.nn.init.trunc_normal_(value, std=base.position_std, generator=generator)
    if name == "cls_token":
        return torch.nn.init.normal_(value, std=1e-6, generator=generator)
    if "norm" in name and name.endswith("weight"):
        return value.fill_(1.0)
    patch = name == "patch_embed.proj.weight"
    if "rpe_" in name or not (patch or value.dim() == 2):
        return value
    if base.weight_init == "xavier":
        return xavier(shape, generator, parts=3 if name.endswith("qkv.weight") else 1)
    if patch:  # torch's default, which timm leaves alone: U(-1/sqrt(fan_in), 1/sqrt(fan_in))
        bound = math.prod(shape[1:]) ** -0.5
        return value.uniform_(-bound, bound, generator=generator)
    return torch.nn.init.trunc_normal_(value, std=0.02, generator=generator)


def inherited_stem(
    stem: Mapping[str, Tensor], source: ModelSpec, target: ModelSpec, own: Mapping[str, Tensor], *, head: bool
) -> dict[str, Tensor]:
    """What a target of the same width takes over from outside the blocks: embeddings, final norm, head.

    A class token has a position of its own, which comes first: where only one of the two models has one, patches take
    over the positions of patches, and the class token and its position keep the target's `own` values. Position
    embeddings of another image size are interpolated as timm does.

    Args:
        stem: the source's tensors, by timm's names.
        own: the target's tensors as they are now.
        head: whether source and target share the task, so that the head is taken over too.
    """
    taken: dict[str, Tensor] = {}
    for name, shape in {**target.stem_shapes(), **(target.head_shapes() if head else {})}.items():
        if name == "pos_embed":
            taken[name] = _positions(stem[name], source, target, own[name])
        elif name in stem and tuple(stem[name].shape) == shape:
            taken[name] = stem[name].clone()
    return taken


def _positions(positions: Tensor, source: ModelSpec, target: ModelSpec, own: Tensor) -> Tensor:
    patches = positions[:, int(source.class_token) :]
    if source.patches != target.patches:
        from timm.layers import resample_abs_pos_embed

        side = target.image_size // target.patch_size
        patches = resample_abs_pos_embed(patches, [side, side], num_prefix_tokens=0)
    if not target.class_token:
        return patches.clone()
    prefix = positions[:, :1] if source.class_token else own[:, :1]
    return torch.cat([prefix, patches], dim=1)


def write_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies tensors into the parameters of these names.

    Raises:
        KeyError: the model has no such parameter.
        ValueError: a shape differs.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if parameters[name].shape != weight.shape:
                raise ValueError(f"{name}: shape {tuple(weight.shape)} given, {tuple(parameters[name].shape)} needed")
            parameters[name].copy_(weight)
