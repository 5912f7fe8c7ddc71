"""`ModelFamily` and `ModelSpec`: which models can be initialized, described without torch.

A *family* is a kind of architecture, such as the plain Vision Transformer: it builds models, describes them and knows
how they are initialized by default. A *spec* describes one model of a family: depth, width and whatever else decides
the shapes of its parameters. Everything else in the suite asks the spec or its family, and knows no architecture.

Announce a family as an entry point in the group `learngene_bench.families`; `[model] family = "NAME"` in a preset, or
`--set model.family=NAME`, then measures methods on it. Its module must not import torch before a model is built.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.section import Section
from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError
from learngene_bench.util.field_types import check_field_types

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

BASE_DEPTH = 12
"""Depth of the model that a size is named after (DeiT-Ti, -S, -B), and of which methods make their genes."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Stage:
    """A stack of equal blocks. Parameters of its block l are called `{path}.{first + l}.{component}`.

    Attributes:
        path: name of the list of blocks in the model: "blocks", "layers.0.blocks".
        depth: number of blocks.
        width: channels of the representation between blocks.
        shapes: parameter shapes of one block, by component (`attn.qkv.weight`), in the model's order.
        heads: attention heads, by the path of the attention in a block (`attn`); empty where blocks have none, or where
            nothing depends on them.
        first: place of the stage's first block in the list, which may hold several stages.
    """

    path: str
    depth: int
    width: int
    shapes: Shapes
    heads: Mapping[str, int] = field(default_factory=dict)
    first: int = 0

    def parameter(self, layer: int, component: str) -> str:
        """Names a component of one block in the model."""
        return f"{self.path}.{self.first + layer}.{component}"

    def component(self, name: str) -> str:
        """Names a component of this stage in a gene: apart from those of other stages, alike for all its blocks."""
        path = f"{self.path}.{self.first}" if self.first else self.path
        return name if path == SOLE_STAGE else f"{path}/{name}"


SOLE_STAGE = "blocks"
"""Path of the stage of a model that has one."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec(ABC):
    """Describes one model: everything that decides its parameter shapes.

    A model is one or several stages, each a stack of equal blocks, between an embedding and a head. The head's
    parameters are those of `head_shapes`; all that are neither the head's nor a block's are *non-block* parameters. A
    family whose models have one stage, `blocks`, writes `block_shapes`; another one overrides `stages`.

    Attributes:
        family: name of the family.
        depth: number of blocks, in all stages together.
        width: channels of the representation between blocks, in the first stage.
        image_size: side of a square image in pixels.
        channels: image channels.
        classes: outputs of the head; 0 for no head.

    Raises:
        UserError: sizes that no model of the family can have.
    """

    family: ClassVar[str]
    depth: int
    width: int
    image_size: int
    channels: int = 3
    classes: int = 1000

    def __post_init__(self) -> None:
        self.check_positive("depth", "width", "image_size", "channels")

    def check_positive(self, *names: str) -> None:
        """Raises `UserError` if one of these sizes is below 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise UserError(f"impossible model: {name} is {getattr(self, name)}, at least 1 is needed")

    def block_shapes(self) -> Shapes:
        """Parameter shapes of one block, by component (`attn.qkv.weight`), in the model's order, if all are equal."""
        raise TypeError(f"{type(self).__name__} must define block_shapes() or stages()")

    def stages(self) -> tuple[Stage, ...]:
        """The stages in the order in which an image passes them."""
        return (Stage(SOLE_STAGE, self.depth, self.width, self.block_shapes()),)

    @abstractmethod
    def non_block_shapes(self) -> Shapes:
        """Parameter shapes outside the blocks and the head: embeddings, layers between stages, final norm."""

    @abstractmethod
    def head_shapes(self) -> Shapes:
        """Parameter shapes of the head; none without classes."""

    @abstractmethod
    def forward_flops(self) -> int:
        """Floating-point operations of one image's forward pass, two for a multiply-add; matrix products only."""

    def parameter_shapes(self) -> Shapes:
        """Every parameter of the model, name to shape, in the model's order."""
        shapes = self.non_block_shapes()
        for stage in self.stages():
            for layer in range(stage.depth):
                shapes.update({stage.parameter(layer, name): shape for name, shape in stage.shapes.items()})
        return {**shapes, **self.head_shapes()}

    def components(self) -> dict[str, tuple[Stage, str]]:
        """Every component of every stage, by its name in a gene."""
        return {stage.component(name): (stage, name) for stage in self.stages() for name in stage.shapes}

    def is_in_block(self, parameter: str) -> bool:
        """Returns True if this parameter of the model belongs to a block."""
        return parameter.startswith(tuple(f"{stage.path}." for stage in self.stages()))

    def component_of(self, parameter: str) -> str:
        """Names a parameter without the number of its block: a block's as in a gene, any other as it is."""
        for stage in self.stages():
            number, _, name = parameter.removeprefix(f"{stage.path}.").partition(".")
            if number.isdigit() and int(number) - stage.first in range(stage.depth) and name in stage.shapes:
                return stage.component(name)
        return parameter

    def parameter_count(self) -> int:
        """Numbers that all parameters hold together."""
        return count(self.parameter_shapes())

    def block_mismatch(self, other: ModelSpec) -> str | None:
        """The reason why blocks of the other model do not fit into this one, or None if they do."""
        if self.width != other.width:
            return f"its blocks have width {other.width}"
        theirs = other.components()
        for key, (stage, name) in self.components().items():
            shape = theirs[key][0].shapes[name] if key in theirs else None
            if shape != stage.shapes[name]:
                return f"its blocks hold {key} of shape {shape}"
        return None

    def with_depth(self, depth: int) -> Self:
        """The same model with another number of blocks."""
        return replace(self, depth=depth)

    def with_width(self, width: int) -> Self:
        """The same model with another width. Raises `UserError` if the family has none of this width."""
        return replace(self, width=width)

    def width_step(self) -> int:
        """The number whose multiples are the widths of such models: the dimension of a head, where there are heads."""
        return 1

    def in_sizes_of(self, other: Self) -> Self:
        """The same model with the depth, the width and all else of another that decides how large its blocks are."""
        return replace(self, depth=other.depth, width=other.width)

    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.channels, self.image_size, self.image_size

    def sizes(self) -> str:
        """The sizes that blocks must agree in to be handed over, in words."""
        return f"depth {self.depth}, width {self.width}"

    def as_dict(self) -> dict[str, Any]:
        """A JSON description that `spec_from_dict` reads."""
        # Not `asdict`, which copies deeply: a large plan asks tens of thousands of times.
        return {"family": self.family, **vars(self)}

    def identity(self) -> str:
        """The description in one line: names the random streams of the model."""
        return " ".join(f"{name}={value}" for name, value in self.as_dict().items())

    def __str__(self) -> str:
        return f"depth {self.depth}, width {self.width}"


class ModelFamily(ABC):
    """A kind of architecture. A subclass sets the class attributes and writes the abstract methods.

    Attributes:
        name: what a preset's `[model] family` says.
        title: what messages call a model of the family, with its article ("a timm VisionTransformer").
        Spec: describes a model.
        Architecture: settings that all models of a preset share: the preset's `[model]` without `family`.
        has_drop_path: True if `build` follows the rate of stochastic depth. Otherwise a recipe with `drop_path` above 0
            is refused.
        is_general: True if the family describes models that others describe too, but worse: it is asked last.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Spec: ClassVar[type[ModelSpec]]
    Architecture: ClassVar[type[Section]] = Section
    has_drop_path: ClassVar[bool] = False
    is_general: ClassVar[bool] = False

    @abstractmethod
    def base_spec(self, architecture: Any, *, width: int, image_size: int, channels: int, classes: int) -> ModelSpec:
        """Describes the model of BASE_DEPTH blocks that a size of this width is named after.

        Args:
            architecture: an instance of `Architecture`.

        Raises:
            UserError: there is no such model.
        """

    def widened(self, spec: Any, factor: float) -> ModelSpec:
        """The same model, this many times as wide, rounded up to the next width that the family has."""
        step = spec.width_step()
        widened: ModelSpec = spec.with_width(math.ceil(round(spec.width / step * factor, 6)) * step)
        return widened

    @abstractmethod
    def build(self, spec: Any, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
        """Builds the model of a spec, its weights not yet initialized: whatever the memory held.

        Nothing may be drawn, so that the caller's random numbers stay what they are.

        Args:
            drop_path: stochastic depth rate while training; 0 for a family that has none (`has_drop_path`).
            device: "meta" gives a skeleton that only lends its structure.
        """

    @abstractmethod
    def spec_of(self, model: nn.Module) -> ModelSpec | None:
        """Describes a user's model; None if it is not of this family, or of a variant that no spec describes.

        Raises:
            UserError: it is no such model, and the reason why.
        """

    @abstractmethod
    def base_weights(self, spec: Any, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
        """Draws every parameter of a new model, on the CPU: its start if no method writes it."""

    def inherited_non_block(
        self, weights: Mapping[str, Tensor], source: Any, target: Any, current: Mapping[str, Tensor], *, head: bool
    ) -> dict[str, Tensor]:
        """Returns what a target of the same width inherits outside the blocks: parameters of the same name and shape.

        A family overrides this if such parameters can be adapted, as positions can to another image size.

        Args:
            weights: parameters of the source, by name.
            current: parameters of the target as they are now.
            head: True if source and target share the task, so that the head is taken over too.
        """
        shapes = {**target.non_block_shapes(), **(target.head_shapes() if head else {})}
        return {
            name: weights[name].clone()
            for name, shape in shapes.items()
            if name in weights and tuple(weights[name].shape) == shape
        }

    def inherited_blocks(self, weights: Mapping[str, Tensor], source: Any, target: Any) -> dict[str, Tensor]:
        """Returns what a target inherits in its blocks from a model of its own depth and width.

        A family overrides this if such parameters can be adapted, as biases of positions can to another window.

        Args:
            weights: parameters of the source, by name; those that the target has not are left out.
        """
        names = target.parameter_shapes()
        return {name: each for name, each in weights.items() if name in names and target.is_in_block(name)}

    def timm_call(self, spec: Any) -> tuple[str, dict[str, Any]]:
        """Name and keyword arguments with which `timm.create_model` builds the model.

        Raises:
            UserError: timm has no such model.
        """
        raise UserError(f"timm cannot build models of the family {self.name!r}")

    def example_targets(self, *, image_size: int, channels: int, classes: int) -> list[tuple[ModelSpec, ModelSpec]]:
        """Describes small targets on which `lgbench check` tries a method, each with its base.

        Args:
            image_size: small; a dozen pixels.
        """
        sizes = {"image_size": image_size, "channels": channels, "classes": classes}
        base, wide = (
            self.base_spec(self.Architecture(), width=width, **sizes) for width in (EXAMPLE_WIDTH, 2 * EXAMPLE_WIDTH)
        )
        return [
            *((base.with_depth(depth), base) for depth in (6, 4, 12, 5, 1, 13)),
            (wide.with_depth(6), wide),
            (wide.with_depth(6), base),
            (base.with_depth(6), wide),
        ]


DEFAULT_FAMILY = "vit"
"""The family of presets that name none."""
EXAMPLE_WIDTH = 16
"""Width of the models that `lgbench check` tries a method on."""

FAMILIES: Plugins[ModelFamily] = Plugins("learngene_bench.families", "model family", ModelFamily)
"""All families by name."""


def family_of(spec: ModelSpec) -> ModelFamily:
    """The family that a spec belongs to."""
    return FAMILIES.get(spec.family)()


def spec_from_dict(description: Mapping[str, Any]) -> ModelSpec:
    """Reads what `ModelSpec.as_dict` gives.

    Raises:
        UserError: an unknown family, or no description of one of its models.
    """
    values = dict(description)
    family = FAMILIES.get(str(values.pop("family", None)))
    try:
        check_field_types(family.Spec, values)
        return family.Spec(**values)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UserError(f"no description of a model of the family {family.name!r}: {error}") from error


def count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Numbers that tensors of these shapes hold together."""
    return sum(math.prod(shape) for shape in shapes.values())
