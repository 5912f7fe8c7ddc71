"""`TimmSpec`: describes any model with stacks of equal blocks, without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

from learngene_bench.contracts.family import ModelSpec, Shapes, Stage, family_of
from learngene_bench.models.hierarchical import deal
from learngene_bench.models.timm.structure import Structure, read_structure
from learngene_bench.util.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TimmSpec(ModelSpec):
    """Describes a model by the parts that were found in it, or as timm builds it.

    A spec with a `structure` is of a model that somebody has: its parts are known, and it can be made deeper or
    shallower in words. A spec without one is of the model that timm builds of `architecture` in these sizes; its parts
    are looked up when they are asked for, which imports timm.

    Attributes:
        image_size: height of an image, pixels.
        architecture: timm's name of the architecture, "" for a model that timm did not create.
        head_dimension: width of an attention head; the architecture's own if not given.
        patch_size: side of a patch, pixels; the architecture's own if not given.
        structure: the parts, as `Structure.as_text` writes them.
    """

    family: ClassVar[str] = "timm"
    architecture: str = ""
    head_dimension: int | None = None
    patch_size: int | None = None
    structure: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.architecture or self.structure):
            raise UserError("impossible model: neither timm's name of its architecture nor its structure is given")

    @property
    def parts(self) -> Structure:
        """The parts of the model.

        Raises:
            UserError: timm does not build the architecture in these sizes.
        """
        if self.structure:
            return read_structure(self.structure)
        return self._family().planned_structure(self)

    def stages(self) -> tuple[Stage, ...]:
        return self.parts.stages

    def non_block_shapes(self) -> Shapes:
        return dict(self.parts.non_block)

    def head_shapes(self) -> Shapes:
        return dict(self.parts.head) if self.classes else {}

    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, *self.parts.image

    def forward_flops(self) -> int:
        """Floating-point operations of one image's forward pass, as torch counts them in the model that timm builds."""
        return self._family().planned_flops(self)

    def _family(self) -> Any:
        # Found by its name, as the family is what imports this module.
        return family_of(self)

    def with_depth(self, depth: int) -> TimmSpec:
        if not self.structure:
            return replace(self, depth=depth)
        if depth < len(self.stages()):
            raise UserError(f"depth {depth} is too small: the model has {len(self.stages())} stages of blocks")
        depths = deal(depth, [stage.depth for stage in self.stages()])
        return replace(self, depth=depth, structure=self.parts.with_depths(depths).as_text())

    def with_width(self, width: int) -> TimmSpec:
        if width == self.width:
            return self
        if not self.architecture:
            raise UserError(f"width {width} cannot be made of a model of width {self.width} that timm did not create")
        if width % self.width_step():
            raise UserError(f"width {width} is not a multiple of the head dimension {self.width_step()}")
        return replace(self, width=width, structure="")

    def width_step(self) -> int:
        return self.head_dimension or 1

    def in_sizes_of(self, other: TimmSpec) -> TimmSpec:
        """This model with the depths and the width of another, as far as their parts agree.

        Parts that the other one lacks stay. So does what depends on images and patches: positions, the kernel of the
        patch convolution, tables of relative positions, the number of tokens.
        """
        others = {stage.component(""): stage for stage in other.stages()}
        stages = tuple(
            replace(stage, depth=match.depth, width=match.width, shapes=_resized(stage.shapes, match.shapes))
            for stage in self.stages()
            if (match := others.get(stage.component("")))
        )
        outside = _resized(self.parts.non_block, other.parts.non_block, only_smaller=True)
        parts = replace(self.parts, stages=stages, non_block=outside)
        depth = sum(stage.depth for stage in stages)
        return replace(self, depth=depth, width=other.width, structure=parts.as_text())

    def sizes(self) -> str:
        stages = self.stages()
        depths, widths = ([getattr(stage, name) for stage in stages] for name in ("depth", "width"))
        heads = [count for stage in stages for count in stage.heads.values()]
        parts = [f"depth {_listed(depths)}", f"width {_listed(widths)}", f"{_listed(heads)} heads" if heads else ""]
        return ", ".join(part for part in parts if part)

    def block_mismatch(self, other: ModelSpec) -> str | None:
        """The reason why blocks of the other model do not fit into this one, or None if they do.

        A matrix must be there, and alike. A vector or a table that one of the two models lacks is left out; a table of
        another image size can be resampled.
        """
        theirs = {stage.component(""): stage for stage in other.stages()}
        for stage in self.stages():
            if (match := theirs.get(stage.component(""))) is None:
                return f"it has no blocks {stage.component('')}"
            if stage.width != match.width:
                return f"its blocks have width {match.width}"
            if stage.heads != match.heads:
                return f"its blocks have {_listed(list(match.heads.values()))} heads"
            for name, shape in stage.shapes.items():
                found = match.shapes.get(name)
                if found is None and len(shape) > 1 and prod(shape) > max(shape) and not is_positional(name):
                    return f"its blocks hold no {name}"
                if found is not None and found != shape and not is_positional(name):
                    return f"its blocks hold {name} of shape {found}"
        return None

    def identity(self) -> str:
        # Without the structure, whose text may say more in a later version: the same model draws the same numbers.
        named = {name: value for name, value in self.as_dict().items() if name != "structure"}
        return " ".join([*(f"{name}={value}" for name, value in named.items()), self.sizes()])


def is_positional(name: str) -> bool:
    """Returns True for a parameter of positions: embeddings, tables of distances, frequencies of rotations."""
    last = name.rpartition(".")[2]
    return last in ("pos_embed", "freqs") or last.startswith(("relative_position", "rel_pos", "attention_biases"))


def has_channels_first(positions: tuple[int, ...]) -> bool:
    """Returns True for positions of shape (1, D, rows, columns) on a square grid, not (1, rows, columns, D)."""
    return len(positions) == 4 and positions[2] == positions[3] != positions[1]


def _resized(shapes: Shapes, others: Shapes, *, only_smaller: bool = False) -> Shapes:
    """Shapes of parameters, in the sizes of another model that has them too; what depends on images stays.

    Args:
        only_smaller: True if a parameter that is larger in the other model keeps its shape.
    """
    resized = {}
    for name, shape in shapes.items():
        other = others.get(name, shape)
        if len(other) != len(shape):
            other = shape
        elif name.endswith("pos_embed") and has_channels_first(shape):
            other = (1, other[1], *shape[2:])
        elif name.endswith("attention_biases"):  # (heads, distances)
            other = (*other[:-1], shape[-1])
        elif is_positional(name) or name.endswith("_token"):  # (..., channels) or (distances, heads)
            other = (*shape[:-1], other[-1])
        elif len(shape) == 4 and name.startswith("patch_embed."):
            other = (*other[:2], *shape[2:])
        is_larger = any(size > own for size, own in zip(other, shape, strict=True))
        resized[name] = shape if only_smaller and is_larger else other
    return resized


def _listed(numbers: list[int]) -> str:
    """One number if all are alike, else all, as 2+2+6+2."""
    return str(numbers[0]) if len(numbers) == 1 else "+".join(map(str, numbers))
