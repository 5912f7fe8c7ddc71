"""The plain Vision Transformer that a model contains: its *core*, in the model's depth, width, heads and patches.

A method that was written for plain Vision Transformers, or a gene that was made of one, works on the core. What it
wrote is then carried over component by component. Components are matched by what they are: query, key and value may be
one layer or three, the bias of a key may be missing. What has no counterpart keeps the model's numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from learngene_bench.contracts.family import SOLE_STAGE, ModelSpec, Stage, family_of
from learngene_bench.models.layers import Rows, SelfAttention, self_attentions
from learngene_bench.models.timm.adaptation import positions
from learngene_bench.models.timm.block_function import Reads, computes_otherwise
from learngene_bench.models.timm.spec import TimmSpec
from learngene_bench.models.timm.structure import Structure
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.util.errors import UserError

Weights = Mapping[str, Tensor]
NO_PART = "a plain Vision Transformer has no such part"


@dataclass(frozen=True)
class Link:
    """A parameter of the core and its counterpart in the model.

    Attributes:
        names: the model's parameters that the counterpart is made of.
        read: makes the core's parameter of the model's.
        write: makes the model's parameters of the core's, and of what they are now.
    """

    names: tuple[str, ...]
    read: Callable[[Weights], Tensor]
    write: Callable[[Tensor, Weights], dict[str, Tensor]]


@dataclass(frozen=True)
class Core:
    """A plain Vision Transformer with the numbers of a model that contains it.

    Attributes:
        model: what the family `vit` builds.
        links: counterparts in the model, by the core's parameter.
        kept: components of the model without a counterpart, with the reason.
    """

    spec: ViTSpec
    model: nn.Module
    links: Mapping[str, Link]
    kept: Mapping[str, str]

    def changes(self, before: Weights, current: Weights) -> dict[str, Tensor]:
        """Carries over what changed in the core: parameters of the model.

        Args:
            before: the core's parameters before they were changed.
            current: the model's.
        """
        changed: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            if name in self.links and not torch.equal(parameter, before[name]):
                changed |= self.links[name].write(parameter.detach(), {**current, **changed})
        return changed


def has_core(spec: ModelSpec) -> bool:
    """Returns True for a family whose models may be, or may contain, a plain Vision Transformer."""
    return isinstance(spec, ViTSpec) or family_of(spec).is_general


def core_of(model: nn.Module, spec: ModelSpec) -> Core:
    """Makes the core of a model; of a plain Vision Transformer, all of it.

    Blocks are those of the deepest list: CaiT's last two, for the class token alone, are no part of the core.

    Raises:
        UserError: it contains none, and the reason why.
    """
    if isinstance(spec, ViTSpec):
        links = {name: _whole(name) for name in spec.parameter_shapes()}
        return _made(spec, links, {}, model)
    if not isinstance(spec, TimmSpec):
        raise UserError(f"{family_of(spec).title} contains no plain Vision Transformer")
    deepest = max(spec.stages(), key=lambda stage: stage.depth)
    stages = [stage for stage in spec.stages() if stage.path == deepest.path]
    if len({stage.width for stage in spec.stages()}) > 1:
        raise UserError("it contains no plain Vision Transformer: its stages are of several widths")
    blocks: dict[str, Link] = {}
    kept: dict[str, str] = {}
    for stage in stages:
        _link_blocks(stage, blocks, kept)
    core = _core_spec(spec, stages)
    outside = _links_outside(spec, core)
    links = {name: link for name, link in {**outside, **blocks}.items() if name in core.parameter_shapes()}
    used = {name for link in links.values() for name in link.names}
    for name in spec.parameter_shapes():
        if name not in used:
            kept.setdefault(spec.component_of(name), NO_PART)
    made = _made(core, links, kept, model)
    for stage in stages:
        _check_function(made, model, stage, spec.parts)
    return made


def _check_function(core: Core, model: nn.Module, stage: Stage, parts: Structure) -> None:
    """Raises `UserError` if blocks of a stage compute something else than those of the core with the same numbers."""

    def reads(layer: int) -> Reads:
        path = f"{SOLE_STAGE}.{stage.first + layer}."
        own = {name: link for name, link in core.links.items() if name.startswith(path)}
        return {name.removeprefix(path): (link.names, link.read) for name, link in own.items()}

    if computes_otherwise(model, stage, parts, core.model.get_submodule(f"{SOLE_STAGE}.{stage.first}"), reads):
        raise UserError(
            "it contains no plain Vision Transformer: with the same parameters its blocks compute something else "
            "(another activation or norm, norms after the branches, or branches side by side)"
        )


def _made(spec: ViTSpec, links: Mapping[str, Link], kept: Mapping[str, str], model: nn.Module) -> Core:
    """Builds the core with the model's numbers; what it has no counterpart for does nothing: 0, and 1 for norms."""
    weights = {name: parameter.detach().cpu().float() for name, parameter in model.named_parameters()}
    core = build_model(spec)
    for name, parameter in core.named_parameters():
        nn.init.constant_(parameter, float("norm" in name and name.endswith("weight")))
    write_weights(core, {name: link.read(weights) for name, link in links.items()})
    return Core(spec, core, links, kept)


def _core_spec(spec: TimmSpec, stages: list[Stage]) -> ViTSpec:
    parts, fc1 = spec.parts, stages[0].shapes.get("mlp.fc1.weight")
    attention = self_attentions(stages[0])[0]
    rows, columns = parts.grid
    side = rows if rows == columns else round(sqrt(rows * columns))
    patch = spec.patch_size or (parts.image[0] // rows if rows else parts.image[0])
    return ViTSpec(
        depth=sum(stage.depth for stage in stages),
        width=spec.width,
        heads=attention.heads,
        patch_size=patch,
        image_size=patch * max(1, side),
        channels=spec.channels,
        classes=spec.classes if parts.head.get("head.weight") == (spec.classes, spec.width) else 0,
        mlp_ratio=fc1[0] / spec.width if fc1 and _has_plain_mlp(stages[0]) else 4.0,
        class_token=any(name.endswith("cls_token") for name in parts.prefix),
    )


def _link_blocks(stage: Stage, links: dict[str, Link], kept: dict[str, str]) -> None:
    """Links the blocks of a stage, which follow those that are linked already.

    Raises:
        UserError: their attention is not that of a plain Vision Transformer.
    """
    try:
        attentions = self_attentions(stage)
    except UserError as error:
        raise UserError(f"it contains no plain Vision Transformer: {error}") from error
    if len(attentions) > 1:
        raise UserError(f"it contains no plain Vision Transformer: its blocks have {len(attentions)} attentions each")
    if not _has_plain_mlp(stage):
        found = ", ".join(f"{name} {shape}" for name, shape in stage.shapes.items() if "mlp" in name and len(shape) > 1)
        kept |= {stage.component(name): f"not the MLP of a plain Vision Transformer: {found}" for name in _mlp(stage)}
    attention = attentions[0]
    for layer in range(stage.depth):
        core = f"{SOLE_STAGE}.{stage.first + layer}"
        for component, pieces in _pieces(stage, attention).items():
            links[f"{core}.{component}"] = _rows([_in_layer(piece, stage, layer) for piece in pieces])


def _mlp(stage: Stage) -> list[str]:
    return [name for name in stage.shapes if name.startswith("mlp.")]


def _has_plain_mlp(stage: Stage) -> bool:
    fc1, fc2 = (stage.shapes.get(f"mlp.{name}.weight", ()) for name in ("fc1", "fc2"))
    return len(fc1) == len(fc2) == 2 and fc1 == fc2[::-1]


def _pieces(stage: Stage, attention: SelfAttention) -> dict[str, list[Rows]]:
    """The counterpart of each component of a plain block: rows of components; a piece without a name is missing."""
    shapes = stage.shapes
    prefix = f"{attention.path}." if attention.path else ""
    pieces = {"attn.qkv.weight": list(attention.matrices[:3]), "attn.proj.weight": [attention.projection]}
    biases = [
        _bias(shapes, matrix, f"{prefix}{letter}_bias")
        for matrix, letter in zip(attention.matrices[:3], "qkv", strict=True)
    ]
    if any(piece.component for piece in biases):
        pieces["attn.qkv.bias"] = biases
    pieces["attn.proj.bias"] = [_bias(shapes, attention.projection, "")]
    alike = [f"{norm}.{part}" for norm in ("norm1", "norm2") for part in ("weight", "bias")]
    alike += [name for name in _mlp(stage) if _has_plain_mlp(stage)]
    pieces |= {name: [Rows(name, 0, shapes[name][0])] for name in alike if name in shapes}
    return {name: parts for name, parts in pieces.items() if any(part.component for part in parts)}


def _bias(shapes: Mapping[str, tuple[int, ...]], matrix: Rows, alone: str) -> Rows:
    """The bias that belongs to the rows of a weight: with them in one layer, or a parameter of its own."""
    beside = matrix.component.removesuffix("weight") + "bias"
    if beside in shapes:
        return Rows(beside, matrix.start, matrix.stop)
    return Rows(alone if alone in shapes else "", 0, matrix.stop - matrix.start)


def _in_layer(piece: Rows, stage: Stage, layer: int) -> Rows:
    return Rows(stage.parameter(layer, piece.component) if piece.component else "", piece.start, piece.stop)


def _rows(pieces: list[Rows]) -> Link:
    """Links a parameter to rows of others, one below another; rows that the model has not are 0."""
    names = tuple(dict.fromkeys(piece.component for piece in pieces if piece.component))

    def read(weights: Weights) -> Tensor:
        shape = weights[names[0]].shape[1:]
        return torch.cat(
            [
                weights[piece.component][piece.start : piece.stop]
                if piece.component
                else torch.zeros(piece.stop - piece.start, *shape)
                for piece in pieces
            ]
        )

    def write(tensor: Tensor, weights: Weights) -> dict[str, Tensor]:
        written = {name: weights[name].clone() for name in names}
        for piece, part in zip(pieces, tensor.split([p.stop - p.start for p in pieces]), strict=True):
            if piece.component:
                written[piece.component][piece.start : piece.stop] = part
        return written

    return Link(names, read, write)


def _whole(name: str) -> Link:
    return Link((name,), lambda weights: weights[name], lambda tensor, weights: {name: tensor})


def _links_outside(spec: TimmSpec, core: ViTSpec) -> dict[str, Link]:
    shapes, wanted = spec.parameter_shapes(), core.parameter_shapes()
    links: dict[str, Link] = {}
    for name in ("cls_token", "patch_embed.proj.weight", "patch_embed.proj.bias", "head.weight", "head.bias"):
        for found in (name, name.replace("patch_embed", "embeds"), f"embeds.{name}"):
            if name in wanted and shapes.get(found) == wanted[name]:
                links[name] = _whole(found)
    norm = "norm" if "norm.weight" in shapes else "fc_norm"
    links |= {f"norm.{part}": _whole(f"{norm}.{part}") for part in ("weight", "bias") if f"{norm}.{part}" in shapes}
    flat = shapes.get("embeds.proj.weight", ())
    if flat == (core.width, core.channels * core.patch_size**2):
        links["patch_embed.proj.weight"] = _flat_patches("embeds.proj.weight", wanted["patch_embed.proj.weight"])
    for name in ("pos_embed", "embeds.pos_embed"):
        if len(shapes.get(name, ())) in (3, 4) and shapes[name][-1] == core.width:
            links["pos_embed"] = _positions(name, spec, core)
    return links


def _flat_patches(name: str, shape: tuple[int, ...]) -> Link:
    """Links a patch convolution to a layer that takes patches row by row, the channels of a pixel together."""
    width, channels, height, side = shape

    def read(weights: Weights) -> Tensor:
        return weights[name].view(width, height, side, channels).permute(0, 3, 1, 2).contiguous()

    return Link((name,), read, lambda tensor, weights: {name: tensor.permute(0, 2, 3, 1).reshape(width, -1)})


def _positions(name: str, spec: TimmSpec, core: ViTSpec) -> Link:
    """Links position embeddings: resampled where the grids differ, tokens before the patches by their names."""
    theirs, side = spec.parts, core.image_size // core.patch_size
    tokens = {token: 1 for token in theirs.prefix if token.endswith("cls_token")}
    ours = Structure((), {}, {}, (core.image_size, core.image_size), (side, side), tokens)
    shape = theirs.non_block[name]
    if len(shape) == 4:  # a grid of its own, and patches only
        theirs = Structure((), {}, {}, theirs.image, (shape[1], shape[2]))

    def read(weights: Weights) -> Tensor:
        start = torch.zeros(core.parameter_shapes()["pos_embed"])
        made = positions(weights[name].reshape(1, -1, core.width), theirs, ours, start)
        return start if made is None else made

    def write(tensor: Tensor, weights: Weights) -> dict[str, Tensor]:
        made = positions(tensor, ours, theirs, weights[name].reshape(1, -1, core.width))
        return {} if made is None else {name: made.reshape(shape)}

    return Link((name,), read, write)
