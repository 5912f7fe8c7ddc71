"""Maps of where models look on sample images: class activation and attention (the WAVE paper's Figure 6).

Three maps over the patches of an image, each with a sum of 1:

- "cam": Grad-CAM (Selvaraju et al., 2017) of the score of the image's own class, at the tokens behind the last block's
  first norm: the positive part of sum_d a_d A_nd, where a_d is the mean over the patches of the score's gradient with
  respect to A_nd. A map without any positive part stays 0: no patch speaks for the class.
- "rollout": attention rollout (Abnar and Zuidema, 2020): the product over all layers of (A + 1) / 2, A the mean over
  the heads; how much of each patch arrives in what the head reads, the class token or the mean over all tokens.
- "received": the mean attention that a patch receives in the last block, over heads and over what the head reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from learngene_bench.analysis.attention_structure import names_of
from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.models import Samples, as_vit
from learngene_bench.analysis.report import Analysis, rounded
from learngene_bench.analysis.tiles import Tiles
from learngene_bench.models.vit.irpe import RelativeAttention
from learngene_bench.results.plots.page import Page
from learngene_bench.util.errors import UserError

TOP_SHARE = 0.1
_TITLES = {"cam": "Class activation (Grad-CAM)", "rollout": "Attention rollout", "received": "Attention received"}


def attention_matrices(model: VisionTransformer, images: Tensor) -> Tensor:
    """Attention of all layers: (L, B, heads, N, N), a row for each token that looks, each with a sum of 1."""
    seen: list[Tensor] = []
    hooks = [
        block.get_submodule("attn").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        for block in model.blocks
    ]
    try:
        with torch.no_grad():
            model(images)
            return torch.stack(
                [_attention(b.get_submodule("attn"), x) for b, x in zip(model.blocks, seen, strict=True)]
            )
    finally:
        for hook in hooks:
            hook.remove()


def _attention(attention: nn.Module, x: Tensor) -> Tensor:
    """Computes softmax(q k' / sqrt(d)), which a fused kernel does not return: (B, heads, N, N)."""
    batch, tokens, _ = x.shape
    heads: int = attention.num_heads  # type: ignore[assignment]
    q, k, _ = attention.get_submodule("qkv")(x).reshape(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    if isinstance(attention, RelativeAttention):
        return attention.attention(q, k)
    return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)


def rollout(model: VisionTransformer, images: Tensor, labels: Tensor) -> Tensor:
    """Attention rollout: (B, patches)."""
    layers = attention_matrices(model, images).mean(2)
    mixed = (layers + torch.eye(layers.shape[-1])) / 2
    arrived = mixed[0]
    for layer in mixed[1:]:
        arrived = layer @ arrived
    return _read(model, arrived)


def received(model: VisionTransformer, images: Tensor, labels: Tensor) -> Tensor:
    """Attention received in the last block: (B, patches)."""
    return _read(model, attention_matrices(model, images)[-1].mean(1))


def _read(model: VisionTransformer, attention: Tensor) -> Tensor:
    """Returns the attention of what the head reads, from (B, N, N), as a distribution over the patches."""
    prefix = model.num_prefix_tokens
    rows = attention[:, 0] if prefix else attention.mean(1)
    return _distribution(rows[:, prefix:])


def cam(model: VisionTransformer, images: Tensor, labels: Tensor) -> Tensor:
    """Grad-CAM of the score of each image's label: (B, patches)."""
    outputs: list[Tensor] = []
    norm = model.blocks.get_submodule(f"{len(model.blocks) - 1}.norm1")
    hook = norm.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        with torch.enable_grad():
            scores = model(images)
            (tokens,) = outputs
            # Each score depends on its own image alone, so that the gradient of their sum has that of each.
            (gradient,) = torch.autograd.grad(scores.gather(1, labels.unsqueeze(1)).sum(), tokens)
    finally:
        hook.remove()
    patches = slice(model.num_prefix_tokens, None)
    channels = gradient[:, patches].mean(1, keepdim=True)
    return _distribution(F.relu((channels * tokens.detach()[:, patches]).sum(-1)))


def _distribution(values: Tensor) -> Tensor:
    """Rows (B, n) that are not negative, each divided by its sum; a row of zeros stays one."""
    total = values.sum(-1, keepdim=True)
    return torch.where(total > 0, values / total.clamp(min=torch.finfo(values.dtype).tiny), torch.zeros_like(values))


MAPS: Mapping[str, Callable[[VisionTransformer, Tensor, Tensor], Tensor]] = {
    "cam": cam,
    "rollout": rollout,
    "received": received,
}


@dataclass(frozen=True)
class Statistics:
    """Measures of how concentrated a map is; all None for a map of zeros.

    Attributes:
        entropy: entropy divided by log(patches): 1 if all patches have the same value, 0 if one patch has all.
        top_share: share of the sum that lies in the tenth of the patches with the greatest values (at least one patch).
        peak: the greatest value.
        peak_row, peak_column: place of the greatest value, counted from the top left.
    """

    entropy: float | None
    top_share: float | None
    peak: float | None
    peak_row: int | None
    peak_column: int | None


def statistics(values: Tensor) -> Statistics:
    """Measures one map (patches,) of a square image."""
    if not float(values.sum()):
        return Statistics(None, None, None, None, None)
    values = values.double()
    count = len(values)
    top = values.topk(math.ceil(TOP_SHARE * count)).values.sum()
    entropy = -torch.special.xlogy(values, values).sum() / math.log(count) if count > 1 else values.sum() * 0
    row, column = divmod(int(values.argmax()), math.isqrt(count))
    return Statistics(float(entropy), float(top), float(values.max()), row, column)


def analyse(models: Sequence[tuple[AnalyzedCell, str, nn.Module]], shown: Samples, kind: str) -> Analysis:
    """Draws maps of every model on every image.

    Args:
        models: cells, which weights, and the models.
        kind: of MAPS.

    Raises:
        UserError: a map for each image's class is asked for, but every pixel has a class.
    """
    if kind == "cam" and shown.labels.ndim > 1:
        raise UserError("--map cam is for images of one class, not for segmentation: choose rollout or received")
    maps = [MAPS[kind](as_vit(cell, model)[0], shown.inputs, shown.labels) for cell, _, model in models]
    names = names_of(models)
    rows = [row for model, found in zip(models, maps, strict=True) for row in _rows(*model[:2], shown, kind, found)]
    header = ("", "map", "entropy", f"share of top {TOP_SHARE:.0%}", "empty maps")
    return Analysis(
        f"attention-maps-{kind}", _page(names, shown, maps, kind), tuple(rows), (header, *_summary(names, maps, kind))
    )


def _rows(cell: AnalyzedCell, weights: str, shown: Samples, kind: str, maps: Tensor) -> Iterator[dict[str, Any]]:
    labels = shown.labels.tolist() if shown.labels.ndim == 1 else [None] * len(maps)
    for image, label, values in zip(shown.indices, labels, maps, strict=True):
        yield {
            "cell": cell.full_label,
            "address": cell.address,
            "weights": weights,
            "map": kind,
            "split": shown.split,
            "image": image,
            "class": label,
            "patches": len(values),
            **asdict(statistics(values)),
            "values": " ".join(f"{value:.6g}" for value in values.tolist()),
        }


def _summary(names: Sequence[str], maps: Sequence[Tensor], kind: str) -> Iterator[tuple[str, ...]]:
    for name, found in zip(names, maps, strict=True):
        measured = [statistics(values) for values in found]
        entropies = [one.entropy for one in measured if one.entropy is not None]
        shares = [one.top_share for one in measured if one.top_share is not None]
        yield (
            name,
            kind,
            rounded(math.fsum(entropies) / len(entropies) if entropies else None),
            rounded(math.fsum(shares) / len(shares) if shares else None),
            str(len(measured) - len(entropies)),
        )


def _page(names: Sequence[str], shown: Samples, maps: Sequence[Tensor], kind: str) -> Page:
    labels = [f"class {label}" for label in shown.labels.tolist()]
    if shown.labels.ndim > 1:
        labels = [f"image {index}" for index in shown.indices]
    tiles = Tiles(labels, ["image", *names])
    page = Page(
        f"{_TITLES[kind]} on images of the {shown.split} split",
        _caption(shown, kind),
        count=1,
        across=1,
        height=tiles.height,
        columns=2,
        left=tiles.left,
        below=0.02,
        wide=True,
    )
    placed = tiles.place(page.panel(0, ""))
    for row, line in enumerate(placed):
        image = shown.images[row].transpose(1, 2, 0)
        grey = image.mean(-1)
        line[0].imshow(image if image.shape[-1] == 3 else grey, cmap="gray", vmin=0, vmax=255)
        for axes, found in zip(line[1:], maps, strict=True):
            _overlay(axes, grey, found[row])
    return page


def _overlay(axes: Any, grey: Any, values: Tensor) -> None:
    """Draws a map over the grey image; full colour is the map's own greatest value."""
    from matplotlib.colors import LinearSegmentedColormap

    red = LinearSegmentedColormap.from_list("red", [(0.9, 0.1, 0.05, 0.0), (0.9, 0.1, 0.05, 0.85)])
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
    side = math.isqrt(len(values))
    peak = float(values.max())
    scaled = (values / peak if peak else values).view(side, side).numpy()
    height, width = grey.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    smooth = "bilinear" if side > 4 else "nearest"
    axes.imshow(scaled, cmap=red, vmin=0, vmax=1, extent=extent, interpolation=smooth)


def _caption(shown: Samples, kind: str) -> str:
    how = {
        "cam": "Grad-CAM of the image's own class at the last block's first norm",
        "rollout": "attention rollout over all blocks",
        "received": "mean attention that patches receive in the last block",
    }[kind]
    return (
        f"Left: images of the {shown.split} split, of different classes as far as there are. Beside: {how}; the "
        "redder, the more, up to the greatest value of each map. No red: no patch has any."
    )
