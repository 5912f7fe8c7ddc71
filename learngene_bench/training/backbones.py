"""Reads what self-supervised training leaves (MAE, DINO and others) as the weights of a plain Vision Transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.loaded_weights import read_loaded_weights
from learngene_bench.util.errors import UserError

PARTS = (
    "teacher.backbone.",
    "student.backbone.",
    "backbone.",
    "teacher.",
    "momentum_encoder.",
    "target_encoder.",
    "base_encoder.",
    "encoder.",
    "student.",
)
"""Beginnings of the names of a backbone that stands among other parts: the most specific first, averaged ones before
those that trained."""

BESIDE = ("head", "decoder_", "mask_token", "projector.", "predictor.", "dino_head.", "ibot_head.")
"""Beginnings of the names of what only the training or another task needed."""

MOST_NAMED = 3


def read_backbone(path: Path, expected: ViTSpec) -> tuple[ViTSpec, dict[str, Tensor], str]:
    """Reads a Vision Transformer from a file of weights; nothing is unpickled.

    Args:
        expected: the model that it should be. Its class token and image size are the file's, and it has no iRPE.

    Returns:
        The model, without a head; its parameters; and what was taken and left out, in words.

    Raises:
        UserError: no file of weights, or of another model.
    """
    names = expected.parameter_shapes().keys()
    state, taken = read_loaded_weights(path, names)
    said = [taken] if taken else []
    prefix = next((p for p in PARTS if any(n.startswith(p) and n.removeprefix(p) in names for n in state)), "")
    if prefix and not names & state.keys():
        state = {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}
        said.append(f"names that begin with {prefix!r}, without it")
    spec = _described(state, expected, path)
    shapes = spec.parameter_shapes()
    beside = [name for name in state if name not in shapes and name.startswith(BESIDE)]
    if beside:
        said.append(
            f"left out {', '.join(beside[:MOST_NAMED])}{', ...' * (len(beside) > MOST_NAMED)} ({len(beside)} tensors)"
        )
    weights = {name: tensor.float() for name, tensor in state.items() if name not in beside}
    _check(weights, shapes, path, spec)
    return spec, weights, ", ".join(said)


def _described(state: Mapping[str, Tensor], expected: ViTSpec, path: Path) -> ViTSpec:
    """Describes the model in a file as far as its position embedding tells."""
    positions = state.get("pos_embed")
    if positions is None or positions.dim() != 3:
        found = ", ".join(list(state)[:MOST_NAMED])
        raise UserError(
            f"checkpoint {path} is no plain Vision Transformer: no pos_embed (1, tokens, D) among {found}, ..."
        )
    has_token = "cls_token" in state
    patches = positions.shape[1] - has_token
    side = math.isqrt(patches)
    if side * side != patches or not patches:
        raise UserError(f"checkpoint {path}: positions of {patches} patches, which are no square")
    image_size = side * expected.patch_size
    return replace(expected, class_token=has_token, image_size=image_size, irpe=False, classes=0)


def _check(weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], path: Path, spec: ViTSpec) -> None:
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    unlike = [name for name in {**shapes, **given} if shapes.get(name) != given.get(name)]
    if not unlike:
        return
    name = unlike[0]
    if name not in shapes:
        raise UserError(
            f"checkpoint {path} is no plain Vision Transformer: it has {name}, which would have to be left out"
        )
    found = f"{name} has shape {given[name]}, needed is {shapes[name]}" if name in given else f"{name} is missing"
    raise UserError(
        f"checkpoint {path} is no Vision Transformer of {spec.sizes()}, patches of {spec.patch_size}: {found}"
    )
