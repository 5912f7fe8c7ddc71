"""`Initializer`: the contract of a method, and what it may ask for.

An initializer has two phases. `prepare` is expensive and runs once per family of targets: it makes a *gene*, which the
suite caches by content address. `initialize` is cheap and runs for every target: it writes weights into a model.
Everything a method may use comes in through one `Context`, which is also the meter: a method cannot see test data,
and cannot spend work that is not counted.

The module of an initializer is imported without torch by `lgbench list` and `lgbench plan`, so it takes torch from
`learngene_bench.util.lazy` (a plugin may import it plainly; only start-up gets slower).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from typing_extensions import TypeVar  # for its default, which typing's has from Python 3.13 on

from learngene_bench.config.recipe import Recipe
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.schema.constants import Group
from learngene_bench.schema.parameter_group import ParameterGroup
from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


@dataclass(frozen=True)
class Distiller:
    """Asks for the preset's teacher (LeViT-384 in the paper): an ancestor of any architecture, with the task's head."""


@dataclass(frozen=True)
class Pretrained:
    """Asks for a model of this spec, trained by the preset's pre-training recipe."""

    spec: ModelSpec


Ancestor = Distiller | Pretrained


@dataclass(frozen=True)
class GeneRequest:
    """Names the gene that a target needs. Targets with equal requests share one gene.

    Attributes:
        family: the model that is trained, or read, to make the gene.
        ancestors: what `prepare` finds in `context.ancestors`, by role.
        settings: anything else that shapes the gene; JSON, as it becomes part of the gene's address.
        trains: recipes of the preset that `prepare` trains by; see `Initializer.recipe_fallbacks`.
        files: what `prepare` reads, by role; the gene's address depends on what is in them, not on where they lie.
    """

    family: ModelSpec
    ancestors: Mapping[str, Ancestor] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    trains: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class CostOf:
    """Asks for a training on as many images as another method costs, in place of the length of its recipe.

    Attributes:
        method: name of the other method, with the options of the run.
        recipe: recipe by which the gene is trained, whose length and schedule are stretched.
        targets: number of targets among which the other method's gene, and the ancestors of both, are divided.
    """

    method: str
    recipe: str
    targets: int = 1


OptionsType = TypeVar("OptionsType", bound=Section)
SpecType = TypeVar("SpecType", bound=ModelSpec, default=ModelSpec)


class NoOptions(Section):
    """The options of a method that has none."""


class Initializer(ABC, Generic[OptionsType, SpecType]):
    """One way to initialize models.

    A subclass sets the class attributes, writes `initialize`, and, if it hands anything over from a trained model,
    `gene_request`, `prepare` and `stored_shapes`. Announce it as an entry point in the group
    `learngene_bench.initializers`, or pass its file as `--plugin`.

    `Initializer[MyOptions, ViTSpec]` tells a type checker that targets are Vision Transformers; without the second
    part they are any `ModelSpec`.

    Attributes:
        name: what a user types: lower case, with hyphens.
        title: what a table prints.
        group: the block of a table that the method stands in.
        version: part of every address; raise it whenever the method's numbers change.
        citation: the publication.
        Options: settings that a user may change with `--set NAME.OPTION=VALUE`. The content of an option that is a
            `Path` counts, not its place: name it in `GeneRequest.files`.
        recipe_fallbacks: recipes of the method's own, each with the recipe that stands in where a preset has none. A
            preset has `pretraining`, `condensation`, `inheritance` and `finetuning`. `{"adapter": "inheritance"}`
            declares one more: a preset may have a section `[recipes.adapter]`, and `--set adapter.epochs=5` changes it
            in any preset.
        families: names of the model families that the method works for; None for any family.
        is_trained: True if the gene already is the finished model, so that nothing is fine-tuned on the source task.
        ignores_seed: True if neither `prepare` nor `initialize` depends on the seed. `lgbench check` verifies the
            declaration.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[Group] = "other"
    version: ClassVar[int] = 1
    citation: ClassVar[str] = ""
    Options: ClassVar[type[Section]] = NoOptions
    families: ClassVar[tuple[str, ...] | None] = ("vit",)
    recipe_fallbacks: ClassVar[Mapping[str, str]] = {}
    is_trained: bool = False
    ignores_seed: ClassVar[bool] = False

    def __init__(self, options: OptionsType) -> None:
        self.options = options

    def row_title(self) -> str:
        """The title that a table prints under these options, if they change what the method is."""
        return self.title

    def trains(self) -> tuple[str, ...]:
        """Names the recipes of the preset that `initialize` trains by, under these options.

        A method's own recipe has to be declared in `recipe_fallbacks`.
        """
        return ()

    def at_cost_of(self) -> CostOf | None:
        """The method for whose cost this one trains its gene, under these options; None for its recipe's own length."""
        return None

    def reads_images(self) -> bool:
        """True if `prepare` or `initialize` reads `context.source_images`, under these options.

        `lgbench check` verifies the declaration.
        """
        return False

    def ignored_recipe_fields(self, recipe: str, target: SpecType, base: SpecType) -> Collection[str]:
        """Names the fields of a recipe that change nothing where the method trains by it for this target.

        A plan refuses them with any value but their default, and `lgbench check` verifies the declaration. By default
        this is `meta_batch_size`, as `context.train` trains one model on each batch. A method that trains through
        several leaves it out; a method whose parameters all go without weight decay adds `weight_decay`.
        """
        return ("meta_batch_size",)

    def parameter_groups(self, target: SpecType, base: SpecType, recipe: Recipe) -> Sequence[ParameterGroup]:
        """Says which parameters of the target are fine-tuned at other rates than the recipe's; by default none.

        For a method whose definition has a rule for learning rates. Of several groups that a parameter belongs to, the
        first counts. They are part of a cell's address.

        Args:
            recipe: how the target is fine-tuned.
        """
        return ()

    def supports(self, target: SpecType, base: SpecType) -> str | None:
        """The reason why this target cannot be initialized, or None if it can; becomes a dash with a footnote.

        Args:
            base: the 12-layer model of the size that the target belongs to; its width is the target's own except in
                grids that widen a model. In grids with a source model, that model for a method that asks for its base.
        """
        return None

    def gene_request(self, target: SpecType, base: SpecType) -> GeneRequest | None:
        """The gene that this target needs; None for none."""
        return None

    def fitted_to(self, family: SpecType) -> Self:
        """The same method, with the options by which its gene is made of this model, where a user gave none.

        A user of the library comes with a trained model, so that options which only name that model need not be given.
        A grid may have a source model, which all its methods are fitted to.
        """
        return self

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        """Makes the gene.

        The gene may depend on nothing but the request and the seed: `self.options` are the defaults here, as several
        variants of a method may share one gene.

        Raises:
            MethodFailure: it could not be made; the cells that need it fail with this message.
        """
        raise TypeError(f"{type(self).__name__} asks for a gene, so it must define prepare()")

    @abstractmethod
    def initialize(self, model: nn.Module, target: SpecType, gene: Gene | None, context: Context) -> None:
        """Writes weights into `model`, which is on the CPU.

        The model arrives with the preset's base initialization drawn from `context.seed`; what this method does not
        write keeps it. Deterministic in the seed.

        Args:
            model: what the target's family builds: of the family `vit`, a timm `VisionTransformer`.
        """

    def clones_when_widened(self) -> bool:
        """True if all units that a target wider than its base has more are copies of others, under these options.

        Copied channels, heads and hidden units have the same numbers and get the same gradients, so they stay copies
        while the model trains, and the model stays as narrow as its base (HyperCloning or Net2Net without noise).
        `lgbench check` verifies the declaration.
        """
        return False

    def stored_shapes(self, target: SpecType, base: SpecType) -> Mapping[str, tuple[int, ...]]:
        """Shapes of what is stored and handed over to this target: the paper's parameter column.

        Scalers, operators, hypernetworks and teachers are not counted (WAVE, Table 1).
        """
        return {}


INITIALIZERS: Plugins[Initializer[Any, Any]] = Plugins("learngene_bench.initializers", "method", Initializer)
"""All installed methods by name; `plugins.registry.Registry` adds those of plugin files."""


def parameter_groups_of(
    method: Initializer[Any, Any], target: ModelSpec, base: ModelSpec, recipe: Recipe
) -> tuple[ParameterGroup, ...]:
    """Asks a method for its parameter groups.

    Raises:
        UserError: one of them has no parameter of the target.
    """
    groups = tuple(method.parameter_groups(target, base, recipe))
    for group in groups:
        if not any(group.has(name) for name in target.parameter_shapes()):
            raise UserError(f"{method.name}: parameter_groups() names {group.parameters}, which {target} has not")
    return groups


def wrong_family(method: Initializer[Any, Any], target: ModelSpec) -> str | None:
    """The reason why a method is not for the target's family, or None if it is; ask it nothing else before."""
    if method.families is None or target.family in method.families:
        return None
    *others, last = method.families
    families = f"{', '.join(others)} or {last}" if others else last
    return f"it is made for models of the family {families}, not {target.family}"
