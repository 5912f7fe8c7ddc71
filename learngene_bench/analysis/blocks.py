"""The blocks of models of any family, stage by stage: their weights, and where pictures show them.

A model is one or several stages, each a stack of equal blocks (`ModelSpec.stages`). So a component of a block, such as
`attn.qkv.weight`, has one tensor in each layer of its stage, and all these tensors have the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.results.plots.style import GREY
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 4
"""Largest number of panels side by side."""

Matrices = Mapping[str, Mapping[int, str]]
"""Matrices by their names in pictures; each has the name of a component (`ModelSpec.components`) by stage, from 0."""


def layers_of(model: nn.Module, spec: ModelSpec) -> dict[str, list[Tensor]]:
    """Lists the weights of each component in the layers of its stage, by the name of `ModelSpec.components`."""
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return {
        key: [weights[stage.parameter(layer, name)] for layer in range(stage.depth)]
        for key, (stage, name) in spec.components().items()
    }


def blocks_of(model: nn.Module, spec: ModelSpec) -> list[nn.Module]:
    """Lists all blocks in the order in which an image passes them."""
    return [
        model.get_submodule(stage.parameter(layer, "").removesuffix("."))
        for stage in spec.stages()
        for layer in range(stage.depth)
    ]


def matrices(spec: ModelSpec) -> Matrices:
    """Finds the matrices of the blocks, which pictures show: `attn.qkv.weight` is called qkv.

    A matrix is a component called `weight` with two axes or more; a convolution is a matrix, its rows output channels.
    """
    stages = spec.stages()
    found = {
        name: None
        for stage in stages
        for name, shape in stage.shapes.items()
        if name.endswith("weight") and len(shape) > 1
    }
    short = [_short(name) for name in found]
    unique = len(set(short)) == len(short)
    return {
        each if unique else name.removesuffix(".weight"): {
            number: stage.component(name) for number, stage in enumerate(stages) if name in stage.shapes
        }
        for name, each in zip(found, short, strict=True)
    }


def _short(name: str) -> str:
    parts = name.removesuffix(".weight").split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def common_matrices(cells: Sequence[AnalyzedCell]) -> Matrices:
    """Finds the matrices that the blocks of all models have.

    Raises:
        UserError: models are of several families, or have other blocks or stages.
    """
    first = cells[0]
    drawn = matrices(first.target)
    for cell in cells:
        if cell.target.family != first.target.family:
            raise UserError(f"{cell.full_label}: its blocks are of another family; choose cells of one family")
        if matrices(cell.target) != drawn:
            raise UserError(f"{cell.full_label}: its blocks have other matrices than those of {first.full_label}")
    if not drawn:
        raise UserError(f"{first.full_label}: its blocks have no parameter called weight with two axes to look at")
    return drawn


def named(drawn: Matrices, stages: int) -> Iterator[tuple[str, str]]:
    """Names each matrix of each stage in a table for the terminal, headed by `name_header`; with its component."""
    for name, components in drawn.items():
        for stage, component in components.items():
            yield (name if stages == 1 else f"{name}, {stage + 1}"), component


def name_header(stages: int) -> str:
    """The header of the names of `named`."""
    return "component" if stages == 1 else "component, stage"


@dataclass(frozen=True)
class Panels:
    """Places of panels in rows, each matrix in a column: as many rows for each measure as the matrices need."""

    matrices: int
    measures: int

    @property
    def across(self) -> int:
        return -(-self.matrices // self._rows)

    @property
    def _rows(self) -> int:
        return -(-self.matrices // ACROSS)

    @property
    def count(self) -> int:
        """Number of places on the page."""
        return (self.measures - 1) * self._rows * self.across + self.matrices

    def place(self, measure: int, matrix: int) -> int:
        """Number of a panel on the page."""
        return measure * self._rows * self.across + matrix

    def is_leftmost(self, matrix: int) -> bool:
        return matrix % self.across == 0


@dataclass(frozen=True)
class StageAxis:
    """The horizontal axis of a panel over layers: stages side by side, each from its first layer to its last.

    Attributes:
        drawn: numbers of the stages that the panel shows, from 0.
        stages: number of stages of the models.
    """

    drawn: Sequence[int]
    stages: int

    @property
    def is_single(self) -> bool:
        return len(self.drawn) == 1

    @property
    def of_stage(self) -> str:
        """The end of the panel's title where one of several stages is drawn."""
        return f", stage {self.drawn[0] + 1}" if self.is_single and self.stages > 1 else ""

    def places(self, stage: int, count: int) -> list[float]:
        """Places of so many layers of a stage, from left to right."""
        start, length = list(self.drawn).index(stage), 1.0 if self.is_single else 0.8
        return [start + length * layer / max(1, count - 1) for layer in range(count)]

    def draw(self, axes: Axes, what: str) -> None:
        """Sets the limits and the label; `what` says what is drawn from left to right within a stage."""
        if self.is_single:
            axes.set_xlim(-0.06, 1.06)
            axes.set_xticks([0, 0.5, 1])
            axes.set_xlabel(what)
            return
        axes.set_xlim(-0.1, len(self.drawn) - 0.1)
        axes.set_xticks([place + 0.4 for place in range(len(self.drawn))], [str(stage + 1) for stage in self.drawn])
        axes.tick_params(axis="x", length=0)
        axes.grid(False, axis="x")
        for place in range(1, len(self.drawn)):
            axes.axvline(place - 0.1, color=GREY, linewidth=0.4)
        axes.set_xlabel(f"Stage: {what[:1].lower()}{what[1:]}")
