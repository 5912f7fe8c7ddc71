"""Linear correlation of weights over layers (the WAVE paper's Figure 3, right; TELG, arXiv 2312.05614).

The flattened weights of a component in all L layers are L points. Principal component analysis says how many directions
they vary in, and whether the first coordinate grows linearly with depth. Where every weight is a linear function of the
layer, one direction has all of the variance and its coordinate is linear: both numbers are 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from learngene_bench.analysis.attention_structure import names_of
from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.report import Analysis, rounded
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Page
from learngene_bench.results.plots.style import Look
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOTHING = 1e-10
"""Share of the squared norm below which variance is rounding, as for biases that are 0 or norms that are 1."""


@dataclass(frozen=True)
class Structure:
    """Measures of how one component varies over L layers.

    Attributes:
        explained: share of the variance that each principal component has, L - 1 of them.
        coordinates: coordinate of each layer along the first component: mean 0, standard deviation 1, growing with
            depth.
        r2: R² of a straight line through the coordinates over depth. For independent layers it is 1 / (L - 1).
        linear: share of all variance over layers that is linear in depth; at most the first share, and for
            independent layers 1 / (L - 1) too.
    """

    explained: tuple[float, ...]
    coordinates: tuple[float, ...]
    r2: float
    linear: float


def structure(layers: Tensor) -> Structure | None:
    """Does a principal component analysis of a component in all layers (L, n); None if it does not vary.

    Works on the Gram matrix (L, L) in double precision, as n is millions and L a dozen.
    """
    layers = layers.double()
    count = len(layers)
    centred = layers - layers.mean(0)
    gram = centred @ centred.T
    total = float(gram.trace())
    if total <= _NOTHING * float(layers.square().sum()):
        return None
    values, vectors = torch.linalg.eigh(gram)
    depth = torch.linspace(-1, 1, count, dtype=torch.float64)
    depth /= depth.norm()
    first = vectors[:, -1]
    along = float(first @ depth)
    first = first if along >= 0 else -first
    return Structure(
        explained=tuple((values.flip(0)[: count - 1].clamp(min=0) / total).tolist()),
        coordinates=tuple((first * count**0.5).tolist()),
        r2=along**2,
        linear=float(depth @ gram @ depth) / total,
    )


def block_matrices(spec: ModelSpec) -> dict[str, str]:
    """The matrices of a block by component, with their names in pictures: `attn.qkv.weight` is called qkv."""
    matrices = [name for name, shape in spec.block_shapes().items() if len(shape) == 2]
    short = [name.removesuffix(".weight").rpartition(".")[2] for name in matrices]
    unique = len(set(short)) == len(short)
    return {name: each if unique else name.removesuffix(".weight") for name, each in zip(matrices, short, strict=True)}


def check_one_family(cells: Sequence[AnalyzedCell]) -> None:
    """Checks that the blocks of all models have the same components.

    Raises:
        UserError: models are of several families.
    """
    for cell in cells:
        if cell.target.family != cells[0].target.family:
            raise UserError(f"{cell.full_label}: its blocks are of another family; choose cells of one family")


def analyse(models: Sequence[tuple[AnalyzedCell, str, nn.Module]]) -> Analysis:
    """Measures every component of the blocks, and draws their matrices.

    Args:
        models: cells, which weights, and the models.

    Raises:
        UserError: a model has two layers or fewer, which lie on a line whatever they are; or models are of several
            families.
    """
    drawn = block_matrices(models[0][0].target)
    for cell, _, _ in models:
        if cell.target.depth < 3:
            raise UserError(f"{cell.full_label}: fewer than three layers always lie on a line; choose deeper models")
    check_one_family([cell for cell, *_ in models])
    found = [_structures(model, cell) for cell, _, model in models]
    names = names_of(models)
    rows = [row for model, structures in zip(models, found, strict=True) for row in _rows(*model[:2], structures)]
    return Analysis(
        "linear-structure",
        _page([replace(cell, label=name) for name, (cell, *_) in zip(names, models, strict=True)], found, drawn),
        tuple(rows),
        (("", "component", "variance, PC 1", "R² with depth", "linear variance"), *_summary(names, found, drawn)),
    )


Structures = Mapping[str, Structure | None]
"""Structure of each component, by its name within a block."""


def _structures(model: nn.Module, cell: AnalyzedCell) -> Structures:
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    depth = cell.target.depth
    return {
        name: structure(torch.stack([weights[f"blocks.{layer}.{name}"].flatten() for layer in range(depth)]))
        for name in cell.target.block_shapes()
    }


def _rows(cell: AnalyzedCell, weights: str, structures: Structures) -> Iterator[dict[str, Any]]:
    """Yields a row for each number, and one row without a number for a component that does not vary."""
    about = {"cell": cell.full_label, "address": cell.address, "weights": weights}
    nothing = {"layer": None, "relative_depth": None, "principal_component": None, "value": None}
    for name, found in structures.items():
        component = {**about, "component": name}
        if found is None:
            yield {**component, "measure": "does not vary", **nothing}
            continue
        yield {**component, "measure": "r2", **nothing, "value": found.r2}
        yield {**component, "measure": "linear_variance", **nothing, "value": found.linear}
        for number, share in enumerate(found.explained, start=1):
            place = {"principal_component": number, "value": share}
            yield {**component, "measure": "explained_variance", **nothing, **place}
        for layer, value in enumerate(found.coordinates):
            depth = layer / (len(found.coordinates) - 1)
            place = {"layer": layer, "relative_depth": depth, "principal_component": 1, "value": value}
            yield {**component, "measure": "coordinate", **nothing, **place}


def _summary(names: Sequence[str], every: Sequence[Structures], drawn: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for name, structures in zip(names, every, strict=True):
        for component, short in drawn.items():
            found = structures[component]
            numbers = (found.explained[0], found.r2, found.linear) if found else (None, None, None)
            yield (name, short, *map(rounded, numbers))


def _page(named: Sequence[style.Labelled], every: Sequence[Structures], drawn: Mapping[str, str]) -> Page:
    looks = style.looks(named)
    page = Page(
        "Weights over layers: first principal component against depth, and the variance that each has",
        _caption(named, every, drawn),
        count=2 * len(drawn),
        across=len(drawn),
        height=1.15,
        columns=2,
        legend=looks,
        wide=True,
    )
    every_coordinate = [
        abs(value) for found in every for name in drawn if (s := found[name]) for value in s.coordinates
    ]
    limit = 1.08 * max(every_coordinate, default=1.0)
    for number, (component, short) in enumerate(drawn.items()):
        lines = [(looks[one.label], structures[component]) for one, structures in zip(named, every, strict=True)]
        found = [(look, structure) for look, structure in lines if structure is not None]
        _coordinates(page.panel(number, short), found, limit, labelled=number == 0)
        _explained(page.panel(number + len(drawn), short), found, labelled=number == 0)
    return page


def _coordinates(axes: Axes, drawn: Sequence[tuple[Look, Structure]], limit: float, labelled: bool) -> None:
    for look, found in drawn:
        last = len(found.coordinates) - 1
        depths = [layer / last for layer in range(last + 1)]
        axes.plot(depths, found.coordinates, linestyle=look.line, **look.markers)
    axes.set_xlim(-0.06, 1.06)
    axes.set_xticks([0, 0.5, 1])
    axes.set_ylim(-limit, limit)
    axes.set_xlabel("Relative depth")
    if labelled:
        axes.set_ylabel("First coordinate")


def _explained(axes: Axes, drawn: Sequence[tuple[Look, Structure]], labelled: bool) -> None:
    for look, found in drawn:
        places = range(1, len(found.explained) + 1)
        axes.plot(places, [100 * share for share in found.explained], linestyle=look.line, **look.markers)
    most = max((len(found.explained) for _, found in drawn), default=1)
    axes.set_xticks(range(1, most + 1, 1 + most // 6))
    axes.set_ylim(-4, 104)
    axes.set_xlabel("Principal component")
    if labelled:
        axes.set_ylabel("Variance (%)")


def _caption(named: Sequence[style.Labelled], every: Sequence[Structures], drawn: Mapping[str, str]) -> str:
    sentences = [
        "Above: each layer's coordinate along the first principal component of its component's weights in all layers, "
        "in standard deviations, the first layer left and the last right. Below: how the variance over layers is "
        f"shared out. {style.line_styles(named)} Norms and biases are in the CSV."
    ]
    if any(structures[component] is None for structures in every for component in drawn):
        sentences.append("What is the same in all layers is not drawn.")
    return " ".join(sentences)
