"""Copies in a model: how different each unit of a matrix is from the unit that is most like it.

Rows of a matrix are outputs, its columns inputs. Where a model was widened by copies, and nothing tells them apart,
they get the same gradients and stay copies while it trains: the model is a narrower one, held in more parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from learngene_bench.analysis.attention_structure import names_of
from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.linear_structure import block_matrices, check_one_family
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


def repetitions(model: nn.Module, depth: int, components: Sequence[str]) -> Repetitions:
    """Measures both sides of these matrices in every layer."""
    found: dict[tuple[str, str], list[Repetition]] = {}
    for component in components:
        for layer in range(depth):
            matrix = model.get_parameter(f"blocks.{layer}.{component}").detach()
            for side, units in zip(SIDES, (matrix, matrix.T), strict=True):
                apart = nearest(units)
                one = Repetition(float(apart.median()), float((apart < COPY).double().mean()))
                found.setdefault((component, side), []).append(one)
    return found


def analyse(models: Sequence[tuple[AnalyzedCell, str, nn.Module]]) -> Analysis:
    """Measures and draws the matrices of the blocks.

    Args:
        models: cells, which weights, and the models.

    Raises:
        UserError: models are of several families.
    """
    check_one_family([cell for cell, *_ in models])
    drawn, names = block_matrices(models[0][0].target), names_of(models)
    found = [repetitions(model, cell.target.depth, list(drawn)) for cell, _, model in models]
    rows = [row for (cell, weights, _), each in zip(models, found, strict=True) for row in _rows(cell, weights, each)]
    header = ("", "component", *(f"{side}, {what}" for side in SIDES for what in ("difference", "copies")))
    named = [replace(cell, label=name) for name, (cell, *_) in zip(names, models, strict=True)]
    return Analysis("copies", _page(named, found, drawn), tuple(rows), (header, *_summary(names, found, drawn)))


def _rows(cell: AnalyzedCell, weights: str, found: Repetitions) -> Iterator[dict[str, Any]]:
    about = {"cell": cell.full_label, "address": cell.address, "weights": weights}
    for (component, side), layers in found.items():
        for layer, one in enumerate(layers):
            yield {**about, "component": component, "layer": layer, "side": side, **one._asdict()}


def _summary(names: Sequence[str], every: Sequence[Repetitions], drawn: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for name, found in zip(names, every, strict=True):
        for component, short in drawn.items():
            numbers: list[str] = []
            for side in SIDES:
                layers = found[component, side]
                difference, copies = (sum(each) / len(layers) for each in zip(*layers, strict=True))
                numbers += [rounded(difference), f"{copies:.0%}"]
            yield (name, short, *numbers)


def _page(named: Sequence[AnalyzedCell], every: Sequence[Repetitions], drawn: Mapping[str, str]) -> Page:
    looks = style.looks(named)
    page = Page(
        "Copies: difference of a unit from the unit that is most like it",
        "Median over the units of each layer, relative to their norm: 0 where every unit is a copy of another, about 1 "
        "where units are independent. Above: outputs (rows) of each component's matrix; below: its inputs (columns). "
        f"{style.line_styles(named)}",
        count=2 * len(drawn),
        across=len(drawn),
        height=1.15,
        columns=2,
        legend=looks,
        wide=True,
    )
    places = [(side, component) for side in SIDES for component in drawn]
    most = max(one.difference for found in every for layers in found.values() for one in layers)
    for number, (side, component) in enumerate(places):
        axes = page.panel(number, drawn[component])
        for cell, found in zip(named, every, strict=True):
            layers, look = found[component, side], looks[cell.label]
            depths = [layer / max(1, len(layers) - 1) for layer in range(len(layers))]
            axes.plot(depths, [one.difference for one in layers], linestyle=look.line, **look.markers)
        axes.set_xlim(-0.06, 1.06)
        axes.set_ylim(-0.05, max(1.05, 1.05 * most))
        axes.set_xlabel("Relative depth")
        if component == next(iter(drawn)):
            axes.set_ylabel(side.capitalize())
    return page
