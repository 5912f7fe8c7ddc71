"""Costs of work, by phase."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from learngene_bench.schema.base import Amount, Document
from learngene_bench.schema.constants import PHASES, Phase


class Cost(Document):
    """Cost of some work.

    Attributes:
        epochs: passes over the training split.
        iterations: optimizer steps.
        images: training images seen, an image counted each time.
        flops: floating-point operations of the matrix products, analytically: a training step is three forward
            passes, and a teacher's forward pass is added.
        seconds: wall clock, evaluation and checkpoints included.
        parameters: numbers that were trained, those of several trainings added up. A file leaves 0 out, so records of
            protocol 2, which did not count them, stay as they are.
    """

    epochs: Amount = 0.0
    iterations: int = 0
    images: int = 0
    flops: Amount = 0.0
    seconds: Amount = 0.0
    parameters: int = Field(0, ge=0, exclude_if=lambda count: count == 0)

    @property
    def counted_parameters(self) -> int | None:
        """`parameters`; None where something was trained and not counted, as in records of protocol 2."""
        return None if self.iterations and not self.parameters else self.parameters

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            epochs=self.epochs + other.epochs,
            iterations=self.iterations + other.iterations,
            images=self.images + other.images,
            flops=self.flops + other.flops,
            seconds=self.seconds + other.seconds,
            parameters=self.parameters + other.parameters,
        )


class AncestorCost(Document):
    """Cost of an ancestor.

    Attributes:
        train: its training; nothing where it was loaded.
    """

    train: Cost


class GeneCost(Document):
    """Cost of a gene.

    Attributes:
        ancestors: training the ancestors that it draws from.
        prepare: the method's `prepare`.
    """

    ancestors: Cost = Cost()
    prepare: Cost = Cost()


class CellCost(GeneCost):
    """Cost of a cell, its gene included.

    Attributes:
        initialize: the method's `initialize`.
        finetune: training the initialized target.
    """

    initialize: Cost = Cost()
    finetune: Cost = Cost()

    def __getitem__(self, phase: Phase) -> Cost:
        cost: Cost = getattr(self, phase)
        return cost

    def items(self) -> Iterator[tuple[Phase, Cost]]:
        """Yields the phases in order, with what each cost."""
        return ((phase, self[phase]) for phase in PHASES)
