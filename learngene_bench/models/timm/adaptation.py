"""Parameters of one model in the shapes of another: positions, patch convolutions, tables, extra tokens.

One rule for extra tokens (class, distillation, register): a token that both models have is taken over, with its
position; one that only the target has keeps its number; one that only the source has is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt, prod

import torch
from timm.layers import (
    resample_abs_pos_embed,
    resample_abs_pos_embed_nhwc,
    resample_patch_embed,
    resize_rel_pos_bias_table,
)
from torch import Tensor

from learngene_bench.models.timm.spec import TimmSpec, has_channels_first
from learngene_bench.models.timm.structure import Structure


def adapted(
    weights: Mapping[str, Tensor], source: TimmSpec, target: TimmSpec, current: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Brings parameters into the target's shapes; those of another shape that nothing can adapt are left out.

    Args:
        weights: of a source of the target's width, by the target's names.
        current: parameters of the target as they are now; those of tokens and their positions are needed.
    """
    shapes = target.parameter_shapes()
    found = {}
    for name, weight in weights.items():
        now = current[name].detach() if name in current else torch.empty(shapes[name])
        tensor = _adapted(name, weight, source.parts, target.parts, now)
        if tensor is not None and tuple(tensor.shape) == shapes[name]:
            found[name] = tensor.clone()
    return found


def _adapted(name: str, weight: Tensor, source: Structure, target: Structure, current: Tensor) -> Tensor | None:
    last = name.rpartition(".")[2]
    if last == "pos_embed" and weight.dim() == 3:
        made = positions(weight, source, target, current)
        return weight if made is None else made
    if last == "pos_embed" and has_channels_first(tuple(weight.shape)) and has_channels_first(tuple(current.shape)):
        return resample_abs_pos_embed_nhwc(weight.permute(0, 2, 3, 1), list(current.shape[2:])).permute(0, 3, 1, 2)
    if last == "pos_embed" and weight.dim() == 4 and weight.shape[-1] == current.shape[-1]:
        return resample_abs_pos_embed_nhwc(weight, list(current.shape[1:3]))
    if name.endswith("_token") and weight.dim() == 3:
        shared = min(weight.shape[1], current.shape[1])
        return torch.cat([weight[:, :shared], current[:, shared:]], dim=1)
    if name.startswith("patch_embed.") and weight.dim() == 4 and weight.shape[:2] == current.shape[:2]:
        return resample_patch_embed(weight, list(current.shape[2:]))
    if last == "relative_position_bias_table" and weight.dim() == current.dim() == 2:
        return table(weight, source, target, current)
    return weight


def positions(weight: Tensor, source: Structure, target: Structure, current: Tensor) -> Tensor | None:
    """The target's position embedding, made of the source's: (1, tokens, D); None if it is of another kind.

    Patches' positions are interpolated as timm does, where the grids of patches differ.
    """
    old, new = _prefix_positions(weight, source), _prefix_positions(current, target)
    if old is None or new is None:
        return None
    skipped, kept = sum(old.values()), sum(new.values())
    patches = resample_abs_pos_embed(
        weight[:, skipped:], list(target.grid), old_size=list(source.grid), num_prefix_tokens=0
    )
    theirs = dict(zip(old, weight[:, :skipped].split(list(old.values()), dim=1), strict=True)) if old else {}
    prefix = []
    for name, own in zip(new, current[:, :kept].split(list(new.values()), dim=1) if new else (), strict=True):
        taken = theirs.get(name, own[:, :0])[:, : own.shape[1]]
        prefix += [taken, own[:, taken.shape[1] :]]
    return torch.cat([*prefix, patches], dim=1)


def _prefix_positions(weight: Tensor, parts: Structure) -> dict[str, int] | None:
    """Tokens before the patches that have positions of their own; None if the positions are of nothing known."""
    extra = weight.shape[1] - prod(parts.grid)
    if extra == 0:
        return {}
    return dict(parts.prefix) if extra == sum(parts.prefix.values()) else None


def table(weight: Tensor, source: Structure, target: Structure, current: Tensor) -> Tensor | None:
    """A table of relative positions (distances, heads) for the target's windows, or None if their size is not seen.

    Distances to a class token, of which timm's tables have three at their end, stay as they are.
    """
    if weight.shape == current.shape:
        return weight
    windows = [_window(len(rows), parts.grid) for rows, parts in ((weight, source), (current, target))]
    if windows[0] is None or windows[1] is None or windows[0][1] != windows[1][1]:
        return None
    return resize_rel_pos_bias_table(weight, windows[1][0], tuple(current.shape), windows[0][0])


def _window(distances: int, grid: tuple[int, int]) -> tuple[tuple[int, int], int] | None:
    """Rows and columns of the window that a table of so many distances is for, and the extra distances."""
    for extra in (0, 3):
        if distances - extra == (2 * grid[0] - 1) * (2 * grid[1] - 1):
            return grid, extra
        side = isqrt(distances - extra)
        if side * side == distances - extra and side % 2:
            return ((side + 1) // 2, (side + 1) // 2), extra
    return None
