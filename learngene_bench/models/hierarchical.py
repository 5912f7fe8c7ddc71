"""Descriptions of models of several stages, each of which halves the sides of the image and doubles the channels.

A Swin Transformer and a ConvNeXt are such models. Their blocks are dealt to the stages by a ratio, so that one number,
`depth`, says how deep a model is: 12 blocks in the ratio 1 : 1 : 3 : 1 are 2, 2, 6 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Any, Self

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.models.weights import xavier_by_name
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

STAGE_RATIO = (1, 1, 3, 1)
"""Depths of the four stages of Swin-T (2, 2, 6, 2) and ConvNeXt-T (3, 3, 9, 3), in proportion."""


@dataclass(frozen=True, kw_only=True)
class HierarchicalSpec(ModelSpec):
    """Describes a model whose stages halve the sides of the image and double the channels, one after another.

    Attributes:
        width: channels of the first stage.
        patch_size: side in pixels of the patches that the first stage sees.
        stage_ratio: depths of the stages, in proportion. A model of any depths has one: the depths themselves.

    Raises:
        UserError: sizes that no such model can have.
    """

    patch_size: int
    stage_ratio: tuple[int, ...] = STAGE_RATIO

    def __post_init__(self) -> None:
        self.read_numbers("stage_ratio")
        self.check_positive("depth", "width", "patch_size", "image_size", "channels")
        stages = len(self.stage_ratio)
        if not stages or min(self.stage_ratio) < 1:
            raise UserError(f"impossible model: stage_ratio is {list(self.stage_ratio)}, each stage needs at least 1")
        if self.depth < stages:
            raise UserError(f"impossible model: depth is {self.depth}, {stages} stages need at least {stages} blocks")
        self._check_sides()

    def read_numbers(self, *names: str) -> None:
        """Makes these fields tuples of whole numbers, also of a description's text ("1:1:3:1")."""
        for name in names:
            value = getattr(self, name)
            numbers = [part for part in value.split(":") if part] if isinstance(value, str) else value
            object.__setattr__(self, name, tuple(int(number) for number in numbers))

    def _check_sides(self) -> None:
        for stage, side in enumerate((self.image_size // self.patch_size, *self.sides[:-1])):
            if side < (2 if stage else 1):
                raise UserError(
                    f"impossible model: an image of {self.image_size} pixels in patches of {self.patch_size} is too "
                    f"small for stage {stage + 1} of {len(self.stage_ratio)}"
                )

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of blocks of each stage."""
        return deal(self.depth, self.stage_ratio)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.width * 2**stage for stage in range(len(self.stage_ratio)))

    @property
    def sides(self) -> tuple[int, ...]:
        """Positions along a side of the image, in each stage."""
        sides = [self.image_size // self.patch_size]
        while len(sides) < len(self.stage_ratio):
            sides.append(self.halved(sides[-1]))
        return tuple(sides)

    def halved(self, side: int) -> int:
        """Positions along a side after the next layer between two stages."""
        return side // 2

    def in_sizes_of(self, other: Self) -> Self:
        return replace(super().in_sizes_of(other), stage_ratio=other.stage_ratio)

    def sizes(self) -> str:
        return f"depth {self.depth} ({', '.join(map(str, self.depths))}), width {self.width}"

    def block_mismatch(self, other: ModelSpec) -> str | None:
        assert isinstance(other, HierarchicalSpec)
        if len(self.stage_ratio) != len(other.stage_ratio):
            return f"its blocks are those of {len(other.stage_ratio)} stages"
        return super().block_mismatch(other)

    def as_dict(self) -> dict[str, Any]:
        # A description holds no lists: numbers of stages are a text, "1:1:3:1".
        description = super().as_dict()
        return {k: ":".join(map(str, v)) if isinstance(v, tuple) else v for k, v in description.items()}


def deal(depth: int, ratio: Sequence[int]) -> tuple[int, ...]:
    """Deals blocks to stages in proportion: one to each, then one after another to the stage that lacks most."""
    dealt, total = [1] * len(ratio), sum(ratio)
    for _ in range(depth - len(ratio)):
        lacks = [depth * share - total * blocks for share, blocks in zip(ratio, dealt, strict=True)]
        dealt[lacks.index(max(lacks))] += 1
    return tuple(dealt)


def in_lowest_terms(depths: Sequence[int]) -> tuple[int, ...]:
    """Returns the depths of stages in proportion, in the smallest whole numbers."""
    return tuple(depth // gcd(*depths) for depth in depths)


def drawn_matrix(name: str, shape: tuple[int, ...], base: BaseInitialization, generator: Generator) -> Tensor:
    """Draws a matrix or a convolution by the preset's base initialization."""
    if base.weight_init == "xavier":
        return xavier_by_name(name, {name: shape}, generator)
    return torch.nn.init.trunc_normal_(torch.empty(shape), std=0.02, generator=generator)
