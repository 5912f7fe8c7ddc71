"""The contract: what an initializer is, and what it may ask for.

An initializer has two phases. `prepare` is expensive and runs once per family of targets: it makes a *gene*, which the
suite caches by content address. `initialize` is cheap and runs for every target: it writes weights into a model.
Everything a method may use comes in through one `Context`, which is also the meter: a method cannot see test data,
and cannot spend work that is not counted.

The module of an initializer is imported without torch by `lgbench list` and `lgbench plan`, so it takes torch from
`learngene_bench.util.lazy` (a plugin may import it plainly; only start-up gets slower).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from learngene_bench.config.section import Section
from learngene_bench.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene

Group = Literal["direct", "transfer", "learngene", "pre-training", "other"]


@dataclass(frozen=True)
class Distiller:
    """Asks for the preset's teacher (LeViT-384 in the paper): an ancestor of any architecture, with the task's head."""


@dataclass(frozen=True)
class Pretrained:
    """Asks for a Vision Transformer of this spec, trained by the preset's pre-training recipe."""

    spec: ModelSpec


Ancestor = Distiller | Pretrained


@dataclass(frozen=True)
class GeneRequest:
    """Which gene a target needs. Targets with equal requests share one gene.

    Attributes:
        family: the model that is trained, or read, to make the gene.
        ancestors: what `prepare` finds in `context.ancestors`, by role.
        settings: whatever else shapes the gene; JSON, as it becomes part of the gene's address.
        trains: recipes of the preset that `prepare` trains by; see `Initializer.recipe_fallbacks`.
        files: what `prepare` reads, by role; the gene's address depends on what is in them, not on where they lie.
    """

    family: ModelSpec
    ancestors: Mapping[str, Ancestor] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    trains: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)


OptionsType = TypeVar("OptionsType", bound=Section)


class NoOptions(Section):
    """Of a method that has none."""


class Initializer(ABC, Generic[OptionsType]):
    """One way to initialize Vision Transformers.

    A subclass sets the class attributes, writes `initialize`, and, if it hands anything over from a trained model,
    `gene_request`, `prepare` and `stored_shapes`. Announce it as an entry point in the group
    `learngene_bench.initializers`, or pass its file as `--plugin`.
    """

    name: ClassVar[str]
    """What a user types: lower case, with hyphens."""
    title: ClassVar[str]
    """What a table prints."""
    group: ClassVar[Group] = "other"
    version: ClassVar[int] = 1
    """Raise it whenever the method's numbers change: it is part of every address."""
    citation: ClassVar[str] = ""
    Options: ClassVar[type[Section]] = NoOptions
    """Settings that a user may change with `--set NAME.OPTION=VALUE`. Of one that is a `Path` the content counts: name
    it in `GeneRequest.files`."""
    recipe_fallbacks: ClassVar[Mapping[str, str]] = {}
    """Recipes of the method's own, by name, each with the recipe that stands in for it where a preset has none.

    A preset has `pretraining`, `condensation`, `inheritance` and `finetuning`. `{"adapter": "inheritance"}` declares
    one more: a preset may have a section `[recipes.adapter]`, and `--set adapter.epochs=5` changes it in any preset."""
    is_trained: ClassVar[bool] = False
    """Whether the gene already is the finished model, so that nothing is tuned on the source task."""
    ignores_seed: ClassVar[bool] = False
    """Whether it writes the same numbers whatever the seed, its gene included; `lgbench check` takes it at its word."""

    def __init__(self, options: OptionsType) -> None:
        self.options = options

    def row_title(self) -> str:
        """What a table prints under these options, where they make another thing of it than `title` says."""
        return self.title

    def trains(self) -> tuple[str, ...]:
        """Names the recipes of the preset that `initialize` trains by, under these options.

        A method's own recipe has to be declared in `recipe_fallbacks`.
        """
        return ()

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        """Why this target cannot be initialized, or None if it can; becomes a dash with a footnote.

        Args:
            base: the 12-layer model of the size that the target belongs to; its width is the target's own except in
                grids that widen a model.
        """
        return None

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest | None:
        """Which gene this target needs; None for none."""
        return None

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        """Makes the gene.

        The gene may depend on nothing but the request and the seed: `self.options` are the defaults here, as several
        variants of a method may share one gene.

        Raises:
            MethodFailure: it could not be made; the cells that need it fail with this message.
        """
        raise TypeError(f"{type(self).__name__} asks for a gene, so it must define prepare()")

    @abstractmethod
    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        """Writes weights into `model`, a timm `VisionTransformer` of this spec, on the CPU.

        The model arrives with the preset's base initialization drawn from `context.seed`; what this method does not
        write keeps it. Deterministic in the seed.
        """

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        """Shapes of what is stored and handed over to this target: the paper's parameter column.

        Scalers, operators, hypernetworks and teachers are not counted (WAVE, Table 1).
        """
        return {}
