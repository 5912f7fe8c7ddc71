"""The diagonal structure of attention (the WAVE paper's Figure 3, left; Mimetic initialization, arXiv 2305.09828).

In trained Vision Transformers the product of query and key weights has a positive diagonal, that of value and
projection weights a negative one. With timm's weights, y = x W', attention scores of a head are x Wq' Wk x', and a
block's output, where all heads attend alike, is x Wv' Wp'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.models import as_vit
from learngene_bench.analysis.report import Analysis, rounded
from learngene_bench.analysis.tiles import Tiles, color_bar, spread
from learngene_bench.models.vit import ViTSpec
from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Page

LAYERS_SHOWN, HEADS_SHOWN = 6, 3
LIMIT = 4.0
"""Ends of the colour scale, in root mean squares of the entries off the diagonal."""
_NOTE = 0.12


@dataclass(frozen=True)
class Diagonal:
    """Measures of how close a square matrix (D, D) is to a multiple of the identity.

    Attributes:
        mean_diagonal: mean of the diagonal.
        mean_off_diagonal: mean absolute value of all other entries.
        rms_off_diagonal: their root mean square.
        ratio: |mean_diagonal| / mean_off_diagonal; None if all entries off the diagonal are 0.
        identity_correlation: trace / (sqrt(D) * Frobenius norm), the cosine between the matrix and the identity;
            None for a matrix of zeros. For entries drawn independently it is about 0 +- 1/D.
    """

    mean_diagonal: float
    mean_off_diagonal: float
    rms_off_diagonal: float
    ratio: float | None
    identity_correlation: float | None


def diagonal(matrix: Tensor) -> Diagonal:
    """Measures a matrix (D, D), D at least 2."""
    matrix = matrix.double()
    width = len(matrix)
    entries = matrix.diagonal()
    others = matrix[~torch.eye(width, dtype=torch.bool)]
    off, norm = float(others.abs().mean()), float(matrix.norm())
    mean = float(entries.mean())
    return Diagonal(
        mean_diagonal=mean,
        mean_off_diagonal=off,
        rms_off_diagonal=float(others.square().mean().sqrt()),
        ratio=abs(mean) / off if off else None,
        identity_correlation=float(entries.sum()) / (math.sqrt(width) * norm) if norm else None,
    )


def query_key_products(attention: nn.Module, heads: int) -> Tensor:
    """Wq' Wk of every head of timm's attention module: (heads, D, D), each of rank at most D / heads."""
    query, key, _ = _thirds(attention)
    width = query.shape[1]
    return query.view(heads, -1, width).mT @ key.view(heads, -1, width)


def value_projection_product(attention: nn.Module) -> Tensor:
    """Wv' Wp' of timm's attention module: (D, D)."""
    *_, value = _thirds(attention)
    return value.mT @ attention.get_parameter("proj.weight").detach().mT


def _thirds(attention: nn.Module) -> tuple[Tensor, ...]:
    return attention.get_parameter("qkv.weight").detach().chunk(3)


Products = list[tuple[Tensor, Tensor]]
"""Products of each layer: query and key (heads, D, D), value and projection (D, D)."""


def products_of(model: nn.Module, spec: ViTSpec) -> Products:
    """Computes the products of every layer of a model."""
    found = []
    for layer in range(spec.depth):
        attention = model.get_submodule(f"blocks.{layer}.attn")
        found.append((query_key_products(attention, spec.heads), value_projection_product(attention)))
    return found


def analyse(models: Sequence[tuple[AnalyzedCell, str, nn.Module]]) -> Analysis:
    """Measures every layer and head, and draws some of them.

    Args:
        models: for each, the cell, the kind of its weights ("initial" or "finetuned"), and the model.
    """
    products = [products_of(*as_vit(cell, model)) for cell, _, model in models]
    rows = [
        row for (cell, weights, _), found in zip(models, products, strict=True) for row in _rows(cell, weights, found)
    ]
    names = names_of(models)
    return Analysis(
        "attention-structure",
        _page(names, products),
        tuple(rows),
        (
            ("", "product", "mean diagonal", "mean |off-diagonal|", "ratio", "correlation with 1"),
            *_summary(models, names, rows),
        ),
    )


def names_of(models: Sequence[tuple[AnalyzedCell, str, Any]]) -> list[str]:
    """Names each model by its cell's label, and by the kind of weights if there are both."""
    both = len({weights for _, weights, _ in models}) > 1
    return [f"{cell.label}, {weights}" if both else cell.label for cell, weights, _ in models]


def _rows(cell: AnalyzedCell, weights: str, found: Products) -> Iterator[dict[str, Any]]:
    about = {"cell": cell.full_label, "address": cell.address, "weights": weights}
    for layer, (of_heads, of_block) in enumerate(found):
        for head, matrix in enumerate(of_heads):
            yield {**about, "layer": layer, "product": "query-key", "head": head, **asdict(diagonal(matrix))}
        yield {**about, "layer": layer, "product": "value-projection", "head": None, **asdict(diagonal(of_block))}


def _summary(
    models: Sequence[tuple[AnalyzedCell, str, Any]], names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, ...]]:
    for (cell, weights, _), name in zip(models, names, strict=True):
        for product, short in (("query-key", "QK"), ("value-projection", "VP")):
            mine = [r for r in rows if (r["address"], r["weights"], r["product"]) == (cell.address, weights, product)]

            def mean(key: str, mine: Sequence[Mapping[str, Any]] = mine) -> float | None:
                values = [row[key] for row in mine if row[key] is not None]
                return math.fsum(values) / len(values) if values else None

            keys = ("mean_diagonal", "mean_off_diagonal", "ratio", "identity_correlation")
            yield (name, short, *(rounded(mean(key), 3 if key.startswith("mean") else 2) for key in keys))


def _page(names: Sequence[str], products: Sequence[Products]) -> Page:
    across = min(2, len(products))
    grids = [_tiles(found, across) for found in products]
    page = Page(
        "Diagonal structure of attention: products of query and key, and of value and projection weights",
        _caption(products),
        count=len(products),
        across=across,
        height=max(tiles.height for tiles in grids),
        columns=2,
        left=max(tiles.left for tiles in grids),
        below=0.08,
        wide=True,
        bar=True,
    )
    for number, (name, tiles, found) in enumerate(zip(names, grids, products, strict=True)):
        placed = tiles.place(page.panel(number, name))
        for column, layer in enumerate(_layers(found)):
            of_heads, of_block = found[layer]
            for row, matrix in enumerate([*of_heads[_heads(found)], of_block]):
                image = _draw(placed[row][column], matrix)
    color_bar(page, image, "entry / root mean square off the diagonal")
    return page


def _layers(found: Products) -> list[int]:
    return spread(len(found), LAYERS_SHOWN)


def _heads(found: Products) -> list[int]:
    return spread(len(found[0][0]), HEADS_SHOWN)


def _tiles(found: Products, across: int) -> Tiles:
    rows = [f"QK {head + 1}" for head in _heads(found)]
    return Tiles([*rows, "VP"], [f"layer {layer + 1}" for layer in _layers(found)], across, note=_NOTE)


def _draw(axes: Any, matrix: Tensor) -> Any:
    measured = diagonal(matrix)
    scaled = matrix / (measured.rms_off_diagonal or 1.0)
    # Many entries share a dot where a matrix is wide: their mean, so that a faint diagonal is not lost between dots.
    image = axes.imshow(scaled.float().numpy(), cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, interpolation="antialiased")
    text = rounded(measured.identity_correlation)
    axes.text(0.5, -0.03, text, transform=axes.transAxes, ha="center", va="top", size=style.SMALL_SIZE - 1)
    return image


def _caption(products: Sequence[Products]) -> str:
    sentences = [
        "QK: Wq' Wk of a head, by its number; VP: Wv' Wp' of a block (weights as in y = x W'). Below each: its "
        "correlation with the identity, trace / (sqrt(D) norm): 1 for a multiple of it, about 0 for independent "
        "entries."
    ]
    if any(len(found) > LAYERS_SHOWN or len(found[0][0]) > HEADS_SHOWN for found in products):
        sentences.append("Not all layers and heads are drawn; the CSV has all.")
    return " ".join(sentences)
