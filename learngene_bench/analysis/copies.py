"""Copies in a model: how different each unit of a matrix is from the unit that is most like it.

Rows of a matrix are outputs, its columns inputs. Where a model was widened by copies, and nothing tells them apart,
they get the same gradients and stay copies while it trains: the model is a narrower one, held in more parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from learngene_bench.analysis.attention_structure import names_of
from learngene_bench.analysis.blocks import Matrices, Panels, StageAxis, common_matrices, layers_of, name_header, named
from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.report import Analysis, rounded
from learngene_bench.models.copies import COPY, nearest
from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Page

SIDES = ("outputs", "inputs")


class Repetition(NamedTuple):
    """Measures of how the units on one side of a matrix repeat each other.

    Attributes:
        difference: median distance of a unit from the one most like it, relative to the units' norm: 0 for copies,
            about 1 for units that were drawn independently.
        copies: share of units with a distance below `COPY`.
    """

    difference: float
    copies: float


Repetitions = Mapping[tuple[str, str], Sequence[Repetition]]
"""One for each layer, by component and side."""


def repetitions(layers: Mapping[str, Sequence[Tensor]], components: Iterable[str]) -> Repetitions:
    """Measures both sides of these matrices in every layer; a side of one unit has nothing to repeat.

    Args:
        layers: weights of each component in every layer: (rows, columns, ...). Axes after the second are a kernel's.
    """
    found: dict[tuple[str, str], list[Repetition]] = {}
    for component in components:
        for matrix in layers[component]:
            for side, units in zip(SIDES, (matrix, matrix.transpose(0, 1)), strict=True):
                if len(units) > 1:
                    apart = nearest(units.flatten(1))
                    one = Repetition(float(apart.median()), float((apart < COPY).double().mean()))
                    found.setdefault((component, side), []).append(one)
    return found


def analyse(models: Sequence[tuple[AnalyzedCell, str, nn.Module]]) -> Analysis:
    """Measures and draws the matrices of the blocks.

    Args:
        models: cells, which weights, and the models.

    Raises:
        UserError: models are of several families, or have other blocks or stages.
    """
    drawn, names = common_matrices([cell for cell, *_ in models]), names_of(models)
    stages = len(models[0][0].target.stages())
    components = [component for of_stages in drawn.values() for component in of_stages.values()]
    found = [repetitions(layers_of(model, cell.target), components) for cell, _, model in models]
    rows = [row for (cell, weights, _), each in zip(models, found, strict=True) for row in _rows(cell, weights, each)]
    header = ("", name_header(stages), *(f"{side}, {what}" for side in SIDES for what in ("difference", "copies")))
    looking = [replace(cell, label=name) for name, (cell, *_) in zip(names, models, strict=True)]
    summary = _summary(names, found, dict(named(drawn, stages)))
    return Analysis("copies", _page(looking, found, drawn, stages), tuple(rows), (header, *summary))


def _rows(cell: AnalyzedCell, weights: str, found: Repetitions) -> Iterator[dict[str, Any]]:
    about = {"cell": cell.full_label, "address": cell.address, "weights": weights}
    for (component, side), layers in found.items():
        for layer, one in enumerate(layers):
            yield {**about, "component": component, "layer": layer, "side": side, **one._asdict()}


def _summary(names: Sequence[str], every: Sequence[Repetitions], drawn: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for name, found in zip(names, every, strict=True):
        for short, component in drawn.items():
            numbers: list[str] = []
            for side in SIDES:
                layers = found.get((component, side))
                if layers is None:
                    numbers += [rounded(None)] * 2
                    continue
                difference, copies = (sum(each) / len(layers) for each in zip(*layers, strict=True))
                numbers += [rounded(difference), f"{copies:.0%}"]
            yield (name, short, *numbers)


def _page(cells: Sequence[AnalyzedCell], every: Sequence[Repetitions], drawn: Matrices, stages: int) -> Page:
    looks, panels = style.looks(cells), Panels(len(drawn), len(SIDES))
    beside = "Stages stand side by side, each from its first layer to its last. " if stages > 1 else ""
    page = Page(
        "Copies: difference of a unit from the unit that is most like it",
        "Median over the units of each layer, relative to their norm: 0 where every unit is a copy of another, about 1 "
        "where units are independent. Above: outputs (rows) of each component's matrix; below: its inputs (columns). "
        f"{beside}{style.line_styles(cells)}",
        count=panels.count,
        across=panels.across,
        height=1.15,
        columns=2,
        legend=looks,
        wide=True,
    )
    most = max(one.difference for found in every for layers in found.values() for one in layers)
    for measure, side in enumerate(SIDES):
        for number, (short, components) in enumerate(drawn.items()):
            axis = StageAxis(list(components), stages)
            axes = page.panel(panels.place(measure, number), short + axis.of_stage)
            for cell, found in zip(cells, every, strict=True):
                look = looks[cell.label]
                for stage, component in components.items():
                    layers = found.get((component, side), ())
                    places = axis.places(stage, len(layers))
                    axes.plot(places, [one.difference for one in layers], linestyle=look.line, **look.markers)
            if not any((component, side) in found for found in every for component in components.values()):
                note = axes.text(0.5, 0.5, "one unit only", transform=axes.transAxes, ha="center", color=style.GREY)
                note.set_bbox({"facecolor": "white", "edgecolor": "none"})  # over the line between stages
            axis.draw(axes, "Relative depth")
            axes.set_ylim(-0.05, max(1.05, 1.05 * most))
            if panels.is_leftmost(number):
                axes.set_ylabel(side.capitalize())
    return page
