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
from learngene_bench.analysis.blocks import Matrices, Panels, StageAxis, common_matrices, layers_of, name_header, named
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


LEAST = 3
"""Fewest layers of a stage to look at: fewer always lie on a line."""


def analyse(models: Sequence[tuple[AnalyzedCell, str, nn.Module]]) -> Analysis:
    """Measures every component of the blocks in each stage of three layers or more, and draws their matrices.

    Args:
        models: cells, which weights, and the models.

    Raises:
        UserError: a model has no such stage; or models are of several families, or have other blocks or stages.
    """
    cells = [cell for cell, *_ in models]
    for cell in cells:
        if not _deep(cell.target):
            of_each = " in a stage" if len(cell.target.stages()) > 1 else ""
            raise UserError(
                f"{cell.full_label}: fewer than three layers{of_each} always lie on a line; choose deeper models"
            )
    stages = len(cells[0].target.stages())
    deep = {number for cell in cells for number in _deep(cell.target)}
    drawn = {
        name: {stage: component for stage, component in components.items() if stage in deep}
        for name, components in common_matrices(cells).items()
    }
    drawn = {name: components for name, components in drawn.items() if components}
    found = [_structures(model, cell.target) for cell, _, model in models]
    names = names_of(models)
    rows = [row for model, structures in zip(models, found, strict=True) for row in _rows(*model[:2], structures)]
    looking = [replace(cell, label=name) for name, cell in zip(names, cells, strict=True)]
    header = ("", name_header(stages), "variance, PC 1", "R² with depth", "linear variance")
    return Analysis(
        "linear-structure",
        _page(looking, found, drawn, stages),
        tuple(rows),
        (header, *_summary(names, found, dict(named(drawn, stages)))),
    )


Structures = Mapping[str, Structure | None]
"""Structure of each component of the stages that are deep enough, by the name of `ModelSpec.components`."""


def _deep(spec: ModelSpec) -> list[int]:
    """Numbers of the stages that are deep enough."""
    return [number for number, stage in enumerate(spec.stages()) if stage.depth >= LEAST]


def _structures(model: nn.Module, spec: ModelSpec) -> Structures:
    return {
        component: structure(torch.stack([layer.flatten() for layer in layers]))
        for component, layers in layers_of(model, spec).items()
        if len(layers) >= LEAST
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
        for short, component in drawn.items():
            found = structures.get(component)
            numbers = (found.explained[0], found.r2, found.linear) if found else (None, None, None)
            yield (name, short, *map(rounded, numbers))


def _page(cells: Sequence[style.Labelled], every: Sequence[Structures], drawn: Matrices, stages: int) -> Page:
    looks, panels = style.looks(cells), Panels(len(drawn), 2)
    components = [component for of_stages in drawn.values() for component in of_stages.values()]
    page = Page(
        "Weights over layers: first principal component against depth, and the variance that each has",
        _caption(cells, every, components, stages),
        count=panels.count,
        across=panels.across,
        height=1.15,
        columns=2,
        legend=looks,
        wide=True,
    )
    every_coordinate = [
        abs(value) for found in every for name in components if (s := found.get(name)) for value in s.coordinates
    ]
    limit = 1.08 * max(every_coordinate, default=1.0)
    for number, (short, of_stages) in enumerate(drawn.items()):
        lines = [
            (looks[cell.label], stage, found)
            for cell, structures in zip(cells, every, strict=True)
            for stage, component in of_stages.items()
            if (found := structures.get(component)) is not None
        ]
        axis, leftmost = StageAxis(list(of_stages), stages), panels.is_leftmost(number)
        above, below = (page.panel(panels.place(measure, number), short + axis.of_stage) for measure in (0, 1))
        _coordinates(above, lines, axis, limit, labelled=leftmost)
        _explained(below, lines, axis, labelled=leftmost)
    return page


Lines = Sequence[tuple[Look, int, Structure]]
"""Structures to draw, each with the look of its model and the number of its stage."""


def _coordinates(axes: Axes, drawn: Lines, axis: StageAxis, limit: float, labelled: bool) -> None:
    for look, stage, found in drawn:
        depths = axis.places(stage, len(found.coordinates))
        axes.plot(depths, found.coordinates, linestyle=look.line, **look.markers)
    axis.draw(axes, "Relative depth")
    axes.set_ylim(-limit, limit)
    if labelled:
        axes.set_ylabel("First coordinate")


def _explained(axes: Axes, drawn: Lines, axis: StageAxis, labelled: bool) -> None:
    most = max((len(found.explained) for *_, found in drawn), default=1)
    for look, stage, found in drawn:
        numbers = range(1, len(found.explained) + 1)
        places = numbers if axis.is_single else axis.places(stage, len(numbers))
        axes.plot(places, [100 * share for share in found.explained], linestyle=look.line, **look.markers)
    if axis.is_single:
        axes.set_xticks(range(1, most + 1, 1 + most // 6))
        axes.set_xlabel("Principal component")
    else:
        axis.draw(axes, "Components")
    axes.set_ylim(-4, 104)
    if labelled:
        axes.set_ylabel("Variance (%)")


def _caption(
    cells: Sequence[style.Labelled], every: Sequence[Structures], components: Sequence[str], stages: int
) -> str:
    sentences = [
        "Above: each layer's coordinate along the first principal component of its component's weights in all layers, "
        "in standard deviations, the first layer left and the last right. Below: how the variance over layers is "
        f"shared out. {style.line_styles(cells)} Norms and biases are in the CSV."
    ]
    if stages > 1:
        sentences.append("Each stage is looked at by itself; stages of one or two layers always lie on a line.")
    if any(structures.get(component, True) is None for structures in every for component in components):
        sentences.append("What is the same in all layers is not drawn.")
    return " ".join(sentences)
