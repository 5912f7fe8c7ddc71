"""`Structure`: the parts that were found in a model, as plain data that a file or an address can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache

from learngene_bench.contracts.family import Shapes, Stage
from learngene_bench.util.errors import UserError


@dataclass(frozen=True)
class Structure:
    """The parts of a model.

    Attributes:
        stages: stacks of equal blocks, in the model's order.
        non_block: parameter shapes outside the blocks and the head.
        head: parameter shapes that depend on the number of classes.
        image: height and width of an image, pixels.
        grid: rows and columns of patches that positions belong to; (0, 0) where no such grid was found.
        prefix: tokens before the patches, by the name of their parameter, in their order, with their number.
    """

    stages: tuple[Stage, ...]
    non_block: Shapes
    head: Shapes
    image: tuple[int, int]
    grid: tuple[int, int] = (0, 0)
    prefix: Mapping[str, int] = field(default_factory=dict)

    def with_depths(self, depths: tuple[int, ...]) -> Structure:
        """The same parts, with these numbers of blocks in the stages."""
        stages = tuple(replace(stage, depth=depth) for stage, depth in zip(self.stages, depths, strict=True))
        return replace(self, stages=stages)

    def as_text(self) -> str:
        """A text that `read_structure` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))


@lru_cache(maxsize=64)
def read_structure(text: str) -> Structure:
    """Reads what `Structure.as_text` writes.

    Raises:
        UserError: the text is none.
    """
    try:
        values = json.loads(text)
        stages = tuple(Stage(**{**stage, "shapes": _shapes(stage["shapes"])}) for stage in values.pop("stages"))
        image, grid = tuple(values.pop("image")), tuple(values.pop("grid"))
        return Structure(stages, _shapes(values.pop("non_block")), _shapes(values.pop("head")), image, grid, **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"no description of a model's structure: {error}") from error


def _shapes(values: Mapping[str, list[int]]) -> Shapes:
    return {name: tuple(shape) for name, shape in values.items()}
